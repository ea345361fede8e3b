"""Commands on datasets."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click

from bioseg import settings as configuration
from bioseg import studies
from bioseg.errors import SettingsError


def data_dir() -> Path:
    """Folder of the datasets.

    Raises
    ------
    SettingsError
        When it is not set.
    """
    folder = configuration.load().data_dir
    if folder is None:
        raise SettingsError("BIOSEG_DATA_DIR is not set: name the folder that holds, or shall hold, the datasets")
    return folder


@click.group()
def data() -> None:
    """List, fetch and audit datasets."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_datasets(*, as_json: bool) -> None:
    """List the datasets that Bioseg reads and how to get each."""
    entries = studies.datasets().values()
    if as_json:
        names = ("name", "title", "source", "licence", "automatic", "steps")
        listed = [
            {name: getattr(entry, name) for name in names} | {"folder": str(entry.root(Path()))} for entry in entries
        ]
        click.echo(json.dumps(listed, indent=2))
        return
    for entry in entries:
        how = f"bioseg data fetch {entry.name}" if entry.automatic else entry.steps
        click.echo(f"{entry.name}: {entry.title} ({entry.licence})\n  {how}")


@data.command("fetch")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def fetch_dataset(name: str, *, as_json: bool) -> None:
    """Verify dataset NAME under BIOSEG_DATA_DIR and download what is missing."""
    from bioseg.datasets import fetch

    dataset = studies.dataset(name)
    with click.progressbar(length=1, label=name, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        report = fetch.fetch(dataset, data_dir(), progress)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report) | {"folder": str(report.folder)}, indent=2))
        return
    click.echo(
        f"{report.name} in {report.folder}: {report.verified} files verified, {report.downloaded} downloaded, "
        f"{report.unverified} without a known hash"
    )


@data.command("audit")
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def audit_study(study: str, *, as_json: bool) -> None:
    """Look for leaks between the splits of STUDY: shared groups, equal files, near-duplicates."""
    from bioseg.datasets import audit

    report = audit.audit(studies.get(study).splits(data_dir()))
    leaks: dict[str, list[Any]] = {
        "straddling": list(report.straddling),
        "identical": [[str(file) for file in files] for files in report.identical],
        "alike": [[str(pair.first), str(pair.second), pair.correlation] for pair in report.alike],
    }
    if as_json:
        click.echo(json.dumps({"sizes": report.sizes, "clean": report.clean, **leaks}, indent=2))
    else:
        click.echo("fit {}, choose {}, score {}".format(*report.sizes))
        for what, found in leaks.items():
            click.echo(f"{what}: {len(found)}")
            for item in found:
                click.echo(f"  {item}")
    sys.exit(0 if report.clean else 1)


COMMANDS = (data,)
