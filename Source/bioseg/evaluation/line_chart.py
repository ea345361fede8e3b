"""A curve as plain SVG, both axes from 0 to 1 or a part of it."""

import math
from collections.abc import Iterator, Mapping
from html import escape

from bioseg.evaluation.report import Curve

WIDTH, HEIGHT = 360, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 30, 40
COLOURS = ("#c2410c", "#0369a1", "#4d7c0f")
INK, GRID = "#1f2937", "#e2e8f0"


def line_chart(title: str, across: str, curves: Mapping[str, Curve], lowest: float = 0.0) -> str:
    """Draw curves with x in [0, 1] and y in [lowest, 1]; what lies below is drawn at the bottom.

    Parameters
    ----------
    across
        What x is.
    curves
        Points by the name that the legend gives; at most three.
    """
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
        *_grid(lowest),
        f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>',
    ]
    for number, (name, curve) in enumerate(curves.items()):
        lines += _curve(name, curve, COLOURS[number], number, lowest)
    return "\n".join([*lines, "</svg>"])


def floor_of(curves: Mapping[str, Curve]) -> float:
    """Largest tenth that no point of the curves lies below, so that a chart shows what differs.

    >>> floor_of({"v_rand": [(0.1, 0.93), (0.2, 0.97)]})
    0.9
    """
    lowest = min((y for curve in curves.values() for _, y in curve), default=0.0)
    return min(0.9, math.floor(10 * lowest) / 10)


def _grid(lowest: float) -> Iterator[str]:
    for number in range(6):
        share = number / 5
        x, y = _place(share, lowest + share * (1 - lowest), lowest)
        yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}M{x} {TOP}V{HEIGHT - BOTTOM}" stroke="{GRID}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{lowest + share * (1 - lowest):.2f}</text>'
        yield f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{share:.1f}</text>'


def _curve(name: str, curve: Curve, colour: str, number: int, lowest: float) -> Iterator[str]:
    places = [_place(x, y, lowest) for x, y in curve]
    points = " ".join(f"{x},{y}" for x, y in places)
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
    yield f'<text x="{WIDTH - RIGHT - 90 * (2 - number)}" y="18" fill="{colour}">{escape(name)}</text>'


def _place(x: float, y: float, lowest: float) -> tuple[float, float]:
    """Pixel of a point."""
    height = max(0.0, (y - lowest) / (1 - lowest))
    return round(LEFT + x * (WIDTH - LEFT - RIGHT), 1), round(HEIGHT - BOTTOM - height * (HEIGHT - TOP - BOTTOM), 1)
