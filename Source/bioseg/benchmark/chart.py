"""The report as a picture: requests a second of ours beside the others, as plain SVG."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from bioseg.benchmark.figures import Load
from bioseg.benchmark.text import NAMES

WIDTH, LABELS, FIGURES = 760, 200, 200
ROW, GAP, HEAD = 22, 34, 40
OURS, OTHERS, INK = "#c2410c", "#94a3b8", "#1f2937"
PANELS = (
    ("servers_ms", "8", "Champions, eight at a time"),
    ("servers_ms", "1", "Champions, one at a time"),
    ("servers_alone_ms", "8", "No inference, eight at a time"),
    ("servers_alone_ms", "1", "No inference, one at a time"),
)


def as_svg(report: Mapping[str, Any]) -> str:
    """Draw a panel of bars for each number of connections, longest bar = most requests a second of the panel."""
    panels = [(title, report[name][connections]) for name, connections, title in PANELS if connections in report[name]]
    height = HEAD + sum(GAP + ROW * len(found) for _, found in panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-weight="bold">{escape(_heading(report))}</text>',
    ]
    top = HEAD
    for title, found in panels:
        lines += _panel(title, found, top)
        top += GAP + ROW * len(found)
    return "\n".join([*lines, "</svg>", ""])


def _heading(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return f"Requests a second, and ms a client waits (median, p99); {machine['cpu']}, {machine['cores']} cores"


def _panel(title: str, found: Mapping[str, Load], top: int) -> Iterator[str]:
    yield f'<text x="12" y="{top + 20}" font-weight="bold">{escape(title)}</text>'
    most = max(values["per_second"] for values in found.values())
    for number, (name, values) in enumerate(found.items()):
        y = top + GAP - 6 + number * ROW
        length = round((WIDTH - LABELS - FIGURES) * values["per_second"] / most)
        figures = f"{values['per_second']:.1f}/s, {values['median']:.0f} ms, {values['p99']:.0f} ms"
        colour = OURS if name == "ours" else OTHERS
        yield f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(NAMES[name])}</text>'
        yield f'<rect x="{LABELS}" y="{y}" width="{length}" height="{ROW - 6}" fill="{colour}"/>'
        yield f'<text x="{LABELS + length + 8}" y="{y + 13}">{figures}</text>'
