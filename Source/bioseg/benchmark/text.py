"""The report for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bioseg.benchmark import contest, outages
from bioseg.benchmark.figures import Load, Stage, Summary

NAMES = {
    "ours": "ours",
    "seeds_way": "the seed's way",
    "bare_loop": "bare loop",
    "bentoml": "BentoML",
    "litserve": "LitServe",
    "mlflow_base64": "mlflow models serve, base64",
    "mlflow_arrays": "mlflow models serve, arrays",
}
LEFT_OUT = "BentoML, LitServe and MLflow's server are left out: `make bench` makes the environment that they need"
WIDTH = 30


def as_text(report: Mapping[str, Any]) -> str:
    """Lay a report out as tables of plain text."""
    parts = (_machine, _seeds_way, _servers, _stages, _outages, _overload, _rollout, _sizes)
    blocks = (part(report) for part in parts)
    alone = (_summaries(f"{title}, ms", report[name]) for title, name in TABLES.items())
    return "\n\n".join("\n".join(block) for block in (*blocks, *alone))


TABLES = {"network alone": "runtimes_ms", "1024x1024": "codecs_ms"}


def _machine(report: Mapping[str, Any]) -> Iterator[str]:
    machine = report["machine"]
    threads = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in machine["threads"].items())
    yield f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} before; threads: {threads}"
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    yield f"compared: {versions}" if versions else LEFT_OUT


def _seeds_way(report: Mapping[str, Any]) -> Iterator[str]:
    requests: Mapping[str, Summary] = report["request_ms"]
    yield from _summary_table("one request, ms", [(NAMES[name], values) for name, values in requests.items()])
    yield f"the seed's way / ours    {report['ratios']['seeds_way_over_ours']:.2f}"
    yield f"ours / bare loop         {report['ratios']['ours_over_bare_loop']:.2f}"


def _servers(report: Mapping[str, Any]) -> Iterator[str]:
    for title, name in (("champions", "servers_ms"), ("no inference", "servers_alone_ms"), ("no model", "no_model")):
        for connections, found in report[name].items():
            yield from _load_table(f"{title}, {connections} at a time, ms", found)
            yield from _ratio_lines(found)
            yield ""


def _ratio_lines(found: Mapping[str, Load]) -> Iterator[str]:
    if "ours" in found:
        for name, ratio in contest.ratios(found).items():
            yield (
                f"{NAMES[name]}: ours is {ratio['median']:.2f} times as quick by median, {ratio['p99']:.2f} by p99, "
                f"and answers {ratio['per_second']:.2f} times as many"
            )


def _stages(report: Mapping[str, Any]) -> Iterator[str]:
    for title, name in (("champions", "stages_ms"), ("no inference", "stages_alone_ms")):
        stages: Mapping[str, Stage] = report[name]
        parts = (f"{stage} {values['median']:.1f} ({values['p99']:.1f})" for stage, values in stages.items())
        yield f"stages of ours, {title}, median ms (p99): {', '.join(parts)}"


def _outages(report: Mapping[str, Any]) -> Iterator[str]:
    yield from _load_table("no inference, MLflow, ms", report["outages"])
    for name, difference in outages.differences(report["outages"]).items():
        yield f"{name}: {difference['median_ms']:+.2f} by median, {difference['p99_ms']:+.2f} by p99"


def _overload(report: Mapping[str, Any]) -> Iterator[str]:
    found, stop = report["overload"]["flood"], report["overload"]["stop"]
    yield from _load_table(
        "overload, before it, ms", {name: report["overload"][name] for name in ("alone", "capacity")}
    )
    yield (
        f"{found['offered_per_second']:.1f} a second offered: goodput {found['goodput']:.2f} of the capacity, "
        f"p99 of the served {found['p99_over_alone_p99']:.2f} times that of one alone, median "
        f"{found['p50_over_alone_p99']:.2f}; 503 with Retry-After {found['retry_after_share']:.0%}, "
        f"{found['failed']} failed, {found['livez_failed']} probes failed; the client took "
        f"{found['client_cpu_share']:.0%} of a CPU"
    )
    for title, name in (("served", "accepted_ms"), ("503", "refused_ms"), ("/livez", "livez_ms")):
        values = found[name]
        yield (
            f"{title}: median {values['median']:.1f} ms, p99 {values['p99']:.1f}, max {values['max']:.1f}, "
            f"n = {values['n']}"
        )
    yield (
        f"stopped under load: {stop['taken']} taken, {stop['served']} served, {stop['failed']} left without an answer, "
        f"{stop['not_taken']} not taken"
    )


def _rollout(report: Mapping[str, Any]) -> Iterator[str]:
    found = report["rollout"]
    record = found["record_ms"]
    yield from _load_table("shadow rollout, champions, ms", found["loads_ms"])
    yield f"on / off by median: {found['ratio']:.3f}"
    yield (
        f"assign and record: {record['added']:+.3f} ms in the same round, n = {record['on']['n']}; the transaction "
        f"takes {record['off']['median']:.3f} ms without and {record['on']['median']:.3f} ms with a rollout"
    )


def _sizes(report: Mapping[str, Any]) -> Iterator[str]:
    memory, large, start = report["memory"], report["large"], report["cold_start"]
    yield f"one image of 4096x4096: {large['ms'] / 1e3:.1f} s"
    yield (
        f"memory of a web worker, MiB: {start['idle_rss_mb']:.0f} idle, {memory['worker_rss_mb']:.0f} after "
        f"{memory['requests']} requests, {large['rss_mb']:.0f} after 4096x4096 (peak {large['peak_mb']:.0f}); "
        f"the seed's way {report['seeds_way_rss_mb']:.0f}"
    )
    yield (
        f"start of `bioseg serve`, n = {start['n']}: /livez after {start['livez_s']:.1f} s, /readyz after "
        f"{start['readyz_s']:.1f} s; import application: {report['import_application_s']:.2f} s"
    )


def _summaries(title: str, found: Mapping[str, Mapping[str, Summary]]) -> Iterator[str]:
    rows = [(f"{what}, {how}", values) for what, ways in found.items() for how, values in ways.items()]
    yield from _summary_table(title, rows)


def _summary_table(title: str, rows: Sequence[tuple[str, Summary]]) -> Iterator[str]:
    yield f"{title:{WIDTH}}{'median':>10}{'p10':>10}{'p90':>10}{'n':>6}"
    for name, values in rows:
        yield f"{name:{WIDTH}}{values['median']:10.1f}{values['p10']:10.1f}{values['p90']:10.1f}{values['n']:6d}"


def _load_table(title: str, found: Mapping[str, Load]) -> Iterator[str]:
    yield f"{title:{WIDTH}}{'median':>10}{'p90':>10}{'p99':>10}{'per s':>10}{'n':>6}{'errors':>8}"
    for name, values in found.items():
        yield (
            f"{NAMES.get(name, name):{WIDTH}}{values['median']:10.1f}{values['p90']:10.1f}{values['p99']:10.1f}"
            f"{values['per_second']:10.1f}{values['n']:6d}{values['errors']:8d}"
        )
