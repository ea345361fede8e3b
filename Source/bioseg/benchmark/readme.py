"""The report as the table that the README shows."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bioseg.benchmark import contest, outages
from bioseg.benchmark.text import NAMES
from bioseg.errors import InvalidInput

BEGIN, END = "<!-- figures of `make bench` -->", "<!-- end of the figures -->"
PICTURE = "![Requests a second and waiting times of ours beside the other servers](docs/benchmark.svg)"
PATHS = {"livez": "`/livez`", "too_large": "an upload refused by its size"}
CONNECTIONS = {"1": "one at a time", "8": "eight at a time"}


def updated(page: str, report: Mapping[str, Any]) -> str:
    """Replace what stands between the two comments of a page by the report's table.

    Raises
    ------
    InvalidInput
        When the page lacks the comments.

    >>> updated("no comments", {})
    Traceback (most recent call last):
    ...
    bioseg.errors.InvalidInput: the page has no '<!-- figures of `make bench` -->' ... '<!-- end of the figures -->'
    """
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if between.search(page) is None:
        raise InvalidInput(f"the page has no {BEGIN!r} ... {END!r}")
    table = "\n".join((BEGIN, *rows(report), END))
    return between.sub(lambda _: table, page)


def rows(report: Mapping[str, Any]) -> Iterator[str]:
    """Lines of the table, in Markdown."""
    requests, memory, start = report["request_ms"], report["memory"], report["cold_start"]
    machine = report["machine"]
    yield f"{machine['cpu']}, {machine['cores']} cores; 512x512, screen, database and telemetry of ours included."
    yield ""
    yield PICTURE
    yield ""
    yield "| what | measured |"
    yield "|---|---|"
    yield f"| one request over HTTP, n = {requests['ours']['n']} | {requests['ours']['median']:.0f} ms |"
    yield (
        "| the seed's way: 64 filters at 256x256, Keras `predict`, three `log_metric` calls, base64 in JSON | "
        f"{requests['seeds_way']['median']:,.0f} ms, **{report['ratios']['seeds_way_over_ours']:.1f} times** ours |"
    )
    yield (
        f"| the bare OpenVINO loop of screen and segmenter on arrays | {requests['bare_loop']['median']:.0f} ms; "
        f"ours is **{report['ratios']['ours_over_bare_loop']:.2f} times** that |"
    )
    for title, name in (("same champions", "servers_ms"), ("no inference", "servers_alone_ms")):
        for connections, found in report[name].items():
            yield from _servers(f"{title}, {CONNECTIONS[connections]}", found)
    yield from _rest(report, memory, start)


def _servers(title: str, found: Mapping[str, Any]) -> Iterator[str]:
    ratios = contest.ratios(found)
    for name, values in found.items():
        figures = f"{values['median']:.1f} ms, p99 {values['p99']:.1f} ms, {values['per_second']:.1f}/s"
        share = f"; ours answers **{ratios[name]['per_second']:.2f} times** as many" if name in ratios else ""
        yield f"| {NAMES[name]}, {title}, n = {values['n']} | {figures}{share} |"


def _rest(report: Mapping[str, Any], memory: Mapping[str, Any], start: Mapping[str, Any]) -> Iterator[str]:
    outside, large = report["stages_alone_ms"]["outside"], report["large"]
    yield (
        "| server time of ours outside decoding, networks and encoding, no inference | "
        f"{outside['median']:.1f} ms, p99 {outside['p99']:.1f} ms |"
    )
    for name, found in report["no_model"].items():
        rates = ", ".join(f"{PATHS[path]} {values['per_second']:,.0f}/s" for path, values in found.items())
        yield f"| requests that reach no model, {CONNECTIONS[name]} | {rates} |"
    for name, difference in outages.differences(report["outages"]).items():
        yield (
            f"| MLflow {name} instead of well | {difference['median_ms']:+.1f} ms by median, "
            f"{difference['p99_ms']:+.1f} ms by p99, {difference['errors']} errors |"
        )
    yield from _overload(report["overload"])
    yield from _rollout(report["rollout"])
    yield (
        f"| memory of a web worker: idle, with both models, after 4096x4096 | {start['idle_rss_mb']:.0f}, "
        f"**{memory['worker_rss_mb']:.0f}**, {large['rss_mb']:.0f} MiB (peak {large['peak_mb']:.0f}) |"
    )
    yield f"| `bioseg serve` to `/readyz` | {start['readyz_s']:.1f} s, `/livez` {start['livez_s']:.1f} s |"
    yield f"| `import application` | **{report['import_application_s']:.1f} s** |"


def _rollout(report: Mapping[str, Any]) -> Iterator[str]:
    record, loads = report["record_ms"], report["loads_ms"]
    yield (
        f"| a shadow rollout, on / off, n = {loads['on']['n']} each | median **{report['ratio']:.2f} times**; assign "
        f"and record {record['added']:+.2f} ms |"
    )


def _overload(report: Mapping[str, Any]) -> Iterator[str]:
    flood, stop = report["flood"], report["stop"]
    served, refused, alive = flood["accepted_ms"], flood["refused_ms"], flood["livez_ms"]
    yield (
        f"| ten times its capacity of {report['capacity']['per_second']:.1f}/s, n = {served['n'] + refused['n']} | "
        f"**{flood['goodput']:.0%}** of the capacity is served, p99 {served['p99']:.0f} ms "
        f"(**{flood['p99_over_alone_p99']:.2f} times** alone); 503 after {refused['median']:.1f} ms, p99 "
        f"{refused['p99']:.1f} ms; {flood['failed']} failed |"
    )
    yield f"| `/livez` meanwhile, n = {alive['n']} | {alive['median']:.1f} ms, p99 {alive['p99']:.1f} ms |"
    yield f"| SIGTERM at twice its capacity | {stop['failed']} of {stop['taken']} accepted requests failed |"
