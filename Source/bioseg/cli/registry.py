"""Commands on the registry and the ledger: versions are published, take part, become the champion, and go back."""

import dataclasses
import getpass
import json
import os
from pathlib import Path

import click

from bioseg import registry
from bioseg import settings as configuration
from bioseg.database.tables import Decision
from bioseg.errors import InvalidInput
from bioseg.platform import Platform, open_models, open_platform
from bioseg.registry import ledger

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
REASON = click.option("--reason", default="", help="Why, in a sentence; the ledger keeps it.")
REVISION = click.option(
    "--revision", type=click.IntRange(0), help="Number of the study's last row that you saw; refused if it moved on."
)


@click.command()
@click.argument("bundle", type=FOLDER)
def publish(bundle: Path) -> None:
    """Copy the sealed bundle in the folder BUNDLE into the registry; the same one again changes nothing."""
    published = registry.publish(open_models(configuration.load()).registry, bundle)
    click.echo(f"{published.contract.study} {published.contract.version}: {published.path}")


@click.command()
@click.argument("study")
@click.argument("version", required=False)
@REASON
@REVISION
def promote(study: str, version: str | None, reason: str, revision: int | None) -> None:
    """Make VERSION, or the challenger of the rollout, the champion of STUDY; the offline gate must allow it."""
    from bioseg import rollouts

    _tell(rollouts.promote(_platform(), study, version, actor=_actor(), reason=reason, revision=revision))


@click.command()
@click.argument("study")
@REASON
@REVISION
def rollback(study: str, reason: str, revision: int | None) -> None:
    """End the rollout of STUDY; without one, go back to the champion before."""
    from bioseg import rollouts

    _tell(rollouts.rollback(_platform(), study, actor=_actor(), reason=reason, revision=revision))


@click.command()
@click.argument("study")
@REASON
@REVISION
def unfreeze(study: str, reason: str, revision: int | None) -> None:
    """Let STUDY take new versions again, after too many automatic rollbacks in a row."""
    from bioseg import rollouts

    _tell(rollouts.unfreeze(_platform(), study, actor=_actor(), reason=reason, revision=revision))


@click.command()
@click.argument("study")
@click.option(
    "--strategy",
    required=True,
    type=click.Choice(["single", "shadow", "canary", "ab"]),
    help="How requests are shared; `single` ends the rollout.",
)
@click.option("--challenger", help="Version that takes part; the only one beside the champion unless told.")
@click.option("--share", type=click.FloatRange(0, 1), help="Of the clients that the challenger serves.")
@REASON
@REVISION
def rollout(
    study: str, strategy: str, challenger: str | None, share: float | None, reason: str, revision: int | None
) -> None:
    """Let a challenger of STUDY take part, or end that.

    \b
    shadow  it runs on the same images and serves nobody
    canary  it serves --share of the clients, 0.1 unless told, later more
    ab      it serves --share of the clients, 0.5 unless told
    """  # noqa: D301 - click's own mark
    from bioseg import rollouts

    if strategy != "single":
        started = rollouts.start(
            _platform(), study, strategy, challenger, share, actor=_actor(), reason=reason, revision=revision
        )
        _tell(started)
        return
    if challenger is not None or share is not None:
        raise InvalidInput("--strategy single ends the rollout: it takes neither --challenger nor --share")
    _tell(rollouts.stop(_platform(), study, actor=_actor(), reason=reason, revision=revision))


@click.command()
@click.argument("study")
@AS_JSON
def verdict(study: str, *, as_json: bool) -> None:
    """Say what the evidence of the running rollout of STUDY allows, and why."""
    from bioseg import rollouts

    found = rollouts.verdict(_platform(), study)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    said = found["verdict"]
    live = "" if said["live_quality"] else "; live quality not measured"
    forecast = f" ({said['forecast']})" if said["forecast"] else ""
    trial = f"{found['strategy']} of {found['challenger']} against {found['champion']}"
    click.echo(f"{said['verdict']}: {said['reason']}{forecast}")
    click.echo(f"{study}: {trial}, {found['pairs']} pairs, {found['dropped']} dropped{live}")
    for kind, found_of in said["intervals"].items():
        low, high, n = (found_of[name] for name in ("low", "high", "n"))
        click.echo(f"{kind:12} {found_of['estimate']:+.4f} [{low:+.4f}, {high:+.4f}] n = {n}")


@click.command()
@click.argument("study")
@AS_JSON
def history(study: str, *, as_json: bool) -> None:
    """List every move of STUDY, each row of the ledger checked against its hash and the row before."""
    from bioseg import rollouts

    rows = rollouts.history(_platform(), study)
    if as_json:
        click.echo(json.dumps([ledger.as_json(row) for row in rows], indent=2))
        return
    for row in rows:
        _tell(row)


@click.command()
@click.argument("decision")
@AS_JSON
def replay(decision: str, *, as_json: bool) -> None:
    """Work out again what DECISION, such as membrane/3, rests on, and compare it with what the ledger says."""
    from bioseg import replaying

    checks = replaying.replay(_platform(), decision)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.what}: {check.found}")
    replaying.require(decision, checks)


def _platform() -> Platform:
    return open_platform(configuration.load())


def _actor() -> str:
    """Who runs the command."""
    try:
        return getpass.getuser()
    except KeyError:  # a container's user need not have a name
        return f"user {os.getuid()}"


def _tell(row: Decision) -> None:
    trial = f", {row.strategy} of {row.challenger} at {row.share:.0%}" if row.challenger else ""
    frozen = ", frozen" if row.frozen else ""
    who = f"{row.actor}{' (automatic)' if row.automatic else ''}"
    click.echo(
        f"{ledger.id_of(row)} {row.created_at:%Y-%m-%d %H:%M:%S} {row.action}: champion {row.champion}{trial}{frozen}; "
        f"{who}: {row.reason}"
    )


COMMANDS = (publish, promote, rollback, unfreeze, rollout, verdict, history, replay)
