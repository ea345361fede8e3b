"""The report for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bioseg.benchmark.figures import Summary

NAMES = {"ours": "ours", "seeds_way": "the seed's way", "bare_loop": "bare loop"}


def as_text(report: Mapping[str, Any]) -> str:
    """Lay a report out as tables of plain text."""
    return "\n".join(_lines(report))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    machine, memory, ratios = report["machine"], report["memory"], report["ratios"]
    threads = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in machine["threads"].items())
    yield f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} before; threads: {threads}"
    yield ""
    requests: Mapping[str, Summary] = report["request_ms"]
    yield from _table("one request, ms", [(NAMES[name], values) for name, values in requests.items()])
    yield f"the seed's way / ours    {ratios['seeds_way_over_ours']:.2f}"
    yield f"ours / bare loop         {ratios['ours_over_bare_loop']:.2f}"
    yield ""
    yield "stages of ours, median ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in report["stages_ms"].items())
    yield f"one image of 4096x4096: {report['request_4096_ms'] / 1e3:.1f} s"
    yield (
        f"memory of a web worker, MiB: {memory['worker_rss_mb']:.0f} after {memory['requests']} requests, "
        f"{memory['worker_4096_rss_mb']:.0f} after 4096x4096 (peak {memory['worker_4096_peak_mb']:.0f}); "
        f"the seed's way {memory['seeds_way_rss_mb']:.0f}"
    )
    yield f"import application: {report['import_application_s']:.2f} s"
    if report["runtimes_ms"]:
        yield ""
        rows = [
            (f"{study}, {technology}", values)
            for study, runtimes in report["runtimes_ms"].items()
            for technology, values in runtimes.items()
        ]
        yield from _table("network alone, ms", rows)


def _table(title: str, rows: Sequence[tuple[str, Summary]]) -> Iterator[str]:
    width = max(len(title), *(len(name) for name, _ in rows)) + 2
    yield f"{title:{width}}{'median':>10}{'p10':>10}{'p90':>10}{'n':>5}"
    for name, values in rows:
        figures = f"{values['median']:10.1f}{values['p10']:10.1f}{values['p90']:10.1f}{values['n']:5d}"
        yield f"{name:{width}}{figures}"
