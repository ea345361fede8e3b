"""Intervals as a picture: plain SVG without style or script, so that no content policy stands in its way."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH, LABELS, FIGURES, ROW, HEAD = 900, 220, 230, 26, 22
INTERVAL, DOT, MARK, INK = "#1d4ed8", "#64748b", "#c2410c", "#1f2937"


class Line(NamedTuple):
    """One interval: its name, mean and limits, and the single values that it sums up."""

    name: str
    mean: float
    low: float
    high: float
    values: Sequence[float] = ()


def intervals(lines: Sequence[Line], marks: Sequence[float], number: str) -> str:
    """Draw a row for each interval on one axis.

    Parameters
    ----------
    marks
        Values at which a vertical line stands: no difference, and limits.
    number
        How figures are written, as in `format`.
    """
    shown = [value for line in lines for value in (line.low, line.high, *line.values)]
    left, right = min(*shown, *marks), max(*shown, *marks)
    room = 0.04 * (right - left) or 0.01
    scale = _Scale(left - room, right + room)
    height = HEAD + ROW * len(lines) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'font-family="sans-serif" font-size="13" fill="{INK}">',
        f"<title>{escape(', '.join(line.name for line in lines))}</title>",
    ]
    for mark in marks:
        x = scale.at(mark)
        parts.append(f'<line x1="{x}" y1="{HEAD - 4}" x2="{x}" y2="{height}" stroke="{MARK}" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="{x}" y="{HEAD - 8}" text-anchor="middle" fill="{MARK}">{mark:{number}}</text>')
    for row, line in enumerate(lines):
        parts += _row(line, HEAD + ROW * row + ROW // 2, scale, number)
    return "\n".join([*parts, "</svg>"])


class _Scale(NamedTuple):
    """From values to places on the axis."""

    low: float
    high: float

    def at(self, value: float) -> float:
        return round(LABELS + (WIDTH - LABELS - FIGURES) * (value - self.low) / (self.high - self.low), 1)


def _row(line: Line, y: int, scale: _Scale, number: str) -> Iterator[str]:
    yield f'<text x="{LABELS - 12}" y="{y + 5}" text-anchor="end">{escape(line.name)}</text>'
    for value in line.values:
        yield f'<circle cx="{scale.at(value)}" cy="{y}" r="3" fill="none" stroke="{DOT}"/>'
    low, mean, high = (scale.at(value) for value in (line.low, line.mean, line.high))
    yield f'<line x1="{low}" y1="{y}" x2="{high}" y2="{y}" stroke="{INTERVAL}" stroke-width="2"/>'
    for end in (low, high):
        yield f'<line x1="{end}" y1="{y - 5}" x2="{end}" y2="{y + 5}" stroke="{INTERVAL}" stroke-width="2"/>'
    yield f'<circle cx="{mean}" cy="{y}" r="4.5" fill="{INTERVAL}"/>'
    figures = f"{line.mean:{number}} ({line.low:{number}} to {line.high:{number}})"
    yield f'<text x="{WIDTH - FIGURES + 14}" y="{y + 5}">{figures}</text>'
