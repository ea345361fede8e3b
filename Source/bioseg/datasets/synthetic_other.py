"""Pictures of the kind `other`, drawn: what a user may drop by mistake and no collection at hand holds.

Blank pages, gradients, noise of several spectra, text, plots, chequers, barcodes, drawings, cracks, cobwebs, scanned
pages and screens of programs, gray or coloured. A picture is given by its number alone; `FIT`, `CHOOSE` and `SCORE` are
disjoint numbers for the three parts of a split.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

NAME = "synthetic_other"
LABEL = "other"
FIT = range(100_000)
CHOOSE = range(100_000, 150_000)
SCORE = range(150_000, 200_000)

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]


def draw(index: int, side: int = 256) -> Picture:
    """Draw picture number `index`, which is always the same; shape (side, side, 3), values 0 to 255, RGB.

    Consecutive numbers go round the kinds of drawings; about half of the pictures are gray, with three equal channels.

    >>> draw(7).shape
    (256, 256, 3)
    """
    rng = np.random.default_rng([index, 0x07E4])
    picture = PAINTERS[index % len(PAINTERS)](rng, side)
    if rng.random() < 0.5:
        picture = np.repeat(picture.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    return picture


def _blank(rng: Generator, side: int) -> Picture:
    noise = rng.normal(0, rng.choice([0.0, 1.0, 4.0]), (side, side, 1))
    return _clipped(np.array(_colour(rng), dtype=np.float64) + noise)


def _gradient(rng: Generator, side: int) -> Picture:
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    straight = x * np.cos(angle) + y * np.sin(angle) + 0.5
    round_ = np.hypot(x - rng.uniform(-0.4, 0.4), y - rng.uniform(-0.4, 0.4)) * 1.4
    share = np.clip(straight if rng.random() < 0.5 else round_, 0, 1)[..., None]
    return _clipped(share * _colour(rng) + (1 - share) * _colour(rng))


def _noise(rng: Generator, side: int) -> Picture:
    """Draw noise whose power falls with frequency f as f ** -(2 * exponent): white, pink, brown, or clouds."""
    exponent = rng.choice([0.0, 0.5, 1.0, 1.5, 2.0])
    field = np.stack([_clouds(rng, side, exponent) for _ in range(3)], axis=2)
    return _clipped(rng.uniform(80, 180) + rng.uniform(15, 60) * field)


def _text(rng: Generator, side: int) -> Picture:
    paper, ink = ((250, 250, 248), (20, 20, 24)) if rng.random() < 0.7 else ((24, 26, 32), (220, 222, 226))
    picture = _canvas(paper, side)
    if rng.random() < 0.5:
        cv2.rectangle(picture, (0, 0), (side, side // 12), _colour(rng), cv2.FILLED)
    step = int(rng.integers(max(9, side // 28), max(12, side // 10)))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789 .,;:()"))
    for y in range(side // 12 + step, side, step):
        line = "".join(rng.choice(letters, size=int(rng.integers(1, 60))))
        cv2.putText(picture, line, (side // 20, y), cv2.FONT_HERSHEY_SIMPLEX, step / 34, ink, 1, cv2.LINE_AA)
    return picture


def _plot(rng: Generator, side: int) -> Picture:
    picture = _canvas((255, 255, 255), side)
    low, high = side // 8, side - side // 10
    for position in np.linspace(low, high, int(rng.integers(3, 8))).astype(int):
        cv2.line(picture, (low, int(position)), (high, int(position)), (225, 225, 225), 1)
    cv2.line(picture, (low, low), (low, high), (0, 0, 0), 1)
    cv2.line(picture, (low, high), (high, high), (0, 0, 0), 1)
    style = rng.integers(3)
    for _ in range(int(rng.integers(1, 5))):
        number = int(rng.integers(5, 40))
        x = np.linspace(low, high, number).astype(int)
        walk = np.cumsum(rng.normal(size=number))
        y = (high - (walk - walk.min()) / (np.ptp(walk) + 1e-9) * (high - low)).astype(int)
        points, colour = np.stack([x, y], axis=1), _colour(rng)
        if style == 0:
            cv2.polylines(picture, [points.astype(np.int32)], isClosed=False, color=colour, thickness=1)
        for px, py in points.tolist() if style else []:
            corner = (px + max(2, (high - low) // (2 * number)), high) if style == 1 else (px + 2, py + 2)
            cv2.rectangle(picture, (px, py), corner, colour, cv2.FILLED)
    return picture


def _chequers(rng: Generator, side: int) -> Picture:
    y, x = np.mgrid[0:side, 0:side]
    width, height = rng.integers(3, side // 4, size=2)
    mask = ((x // width + y // height) % 2 == 0)[..., None]
    return _clipped(np.where(mask, _colour(rng), _colour(rng)) + rng.normal(0, rng.uniform(0, 6), (side, side, 1)))


def _barcode(rng: Generator, side: int) -> Picture:
    picture = _canvas((255, 255, 255), side)
    unit, margin = max(1, side // int(rng.integers(48, 128))), side // 10
    cells = (side - 2 * margin) // unit
    bits = rng.random((cells if rng.random() < 0.5 else 1, cells)) < 0.5
    code = np.kron(np.broadcast_to(bits, (cells, cells)), np.ones((unit, unit), dtype=bool))
    picture[margin : margin + cells * unit, margin : margin + cells * unit][code] = _colour(
        rng, darkest=0, brightest=90
    )
    return picture


def _drawing(rng: Generator, side: int) -> Picture:
    picture = _canvas(_colour(rng), side)
    for _ in range(int(rng.integers(3, 25))):
        thickness = int(rng.choice([cv2.FILLED, 1, 2, 4]))
        centre = (int(rng.integers(side)), int(rng.integers(side)))
        axes = (int(rng.integers(3, side // 3)), int(rng.integers(3, side // 3)))
        shape = rng.integers(3)
        if shape == 0:
            cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, _colour(rng), thickness, cv2.LINE_AA)
        elif shape == 1:
            corner = (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(picture, centre, corner, _colour(rng), thickness)
        else:
            corners = rng.integers(0, side, (int(rng.integers(3, 7)), 2)).astype(np.int32)
            cv2.polylines(picture, [corners], isClosed=True, color=_colour(rng), thickness=max(1, thickness))
    return picture


def _cracks(rng: Generator, side: int) -> Picture:
    """Draw cracked ground: dark lines where two of some random points are equally near, on a rough surface.

    Of all that is drawn this looks most like membranes.
    """
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    roughness = rng.uniform(1.5, 2.5)
    x += side * rng.uniform(0.01, 0.05) * _clouds(rng, side, roughness)
    y += side * rng.uniform(0.01, 0.05) * _clouds(rng, side, roughness)
    points = rng.uniform(-0.1, 1.1, (int(rng.integers(8, 90)), 2)) * side
    first, second = _two_nearest(points, x, y)
    width = rng.uniform(0.8, 5) * np.clip(1 + 0.6 * _clouds(rng, side), 0.05, 3)
    depth = np.exp(-0.5 * ((second - first) / width) ** 2)[..., None]
    ground, gap = np.array(_colour(rng, 70, 230)), np.array(_colour(rng, 0, 60))
    surface = ground + rng.uniform(4, 28) * _clouds(rng, side, 0.7)[..., None] + rng.normal(0, 5, (side, side, 1))
    return _clipped(surface * (1 - depth) + gap * depth)


def _cobweb(rng: Generator, side: int) -> Picture:
    """Draw bright threads, from a middle outwards and sagging between these, on a blurred background."""
    ground = np.array(_colour(rng, 0, 120)) + rng.uniform(5, 30) * _clouds(rng, side, 1.5)[..., None]
    threads = np.zeros((side, side), np.uint8)
    middle = rng.uniform(0.1, 0.9, 2) * side
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(7, 22))))
    spokes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for spoke in spokes:
        _thread(threads, middle, middle + spoke * 1.5 * side, rng)
    for radius in np.cumsum(rng.uniform(0.02, 0.12, int(rng.integers(6, 25)))) * side:
        knots = middle + spokes * radius * rng.normal(1, 0.06, (len(spokes), 1))
        for start, end in zip(knots, np.roll(knots, -1, axis=0), strict=True):
            if rng.random() < 0.85:
                _thread(threads, start, end, rng)
    light = cv2.GaussianBlur(threads, (0, 0), rng.uniform(0.4, 1.3)).astype(np.float64)[..., None] / 255
    return _clipped(ground + light * rng.uniform(90, 200) + rng.normal(0, rng.uniform(0, 8), (side, side, 1)))


def _scan(rng: Generator, side: int) -> Picture:
    """Draw a page of text or a plot as a scanner gives it: turned a little, unevenly lit, blurred, with grain."""
    page = (_text if rng.random() < 0.7 else _plot)(rng, side)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-6, 6), rng.uniform(0.75, 1.3))
    rim = _colour(rng)
    sheet = cv2.warpAffine(page, turn, (side, side), flags=cv2.INTER_AREA, borderValue=rim)
    blurred = cv2.GaussianBlur(sheet.astype(np.float64), (0, 0), rng.uniform(0.3, 1.4)) * rng.uniform(0.6, 1)
    lit = 1 + 0.12 * _clouds(rng, side, 2.0)[..., None]
    return _clipped(blurred * lit + rng.normal(0, rng.uniform(1, 14), (side, side, 1)))


def _screen(rng: Generator, side: int) -> Picture:
    """Draw windows of a program: bars, panels, buttons and lines of text."""
    dark = rng.random() < 0.4
    ground, ink = ((30, 31, 36), (210, 212, 216)) if dark else ((244, 245, 247), (30, 30, 34))
    picture = _canvas(ground, side)
    for _ in range(int(rng.integers(2, 6))):
        left, top = rng.integers(0, side * 3 // 4, 2).tolist()
        right, bottom = left + int(rng.integers(side // 5, side)), top + int(rng.integers(side // 6, side))
        bar = top + max(side // 24, 6)
        cv2.rectangle(picture, (left, top), (right, bottom), _near(ground, rng), cv2.FILLED)
        cv2.rectangle(picture, (left, top), (right, bottom), _near(ink, rng), 1)
        cv2.rectangle(picture, (left, top), (right, bar), _colour(rng), cv2.FILLED)
        for line in range(bar + side // 16, min(bottom, side), int(rng.integers(side // 24, side // 10))):
            words = "".join(rng.choice(list("abcdefghilmnoprstuv   .:_0123"), int(rng.integers(3, 30))))
            cv2.putText(picture, words, (left + 4, line), cv2.FONT_HERSHEY_SIMPLEX, side / 900, ink, 1, cv2.LINE_AA)
            if rng.random() < 0.25:
                button = (left + int(rng.integers(side // 3)), line - side // 40)
                end = (button[0] + side // 9, button[1] + side // 28)
                cv2.rectangle(picture, button, end, _colour(rng), cv2.FILLED)
    return picture


Painter = Callable[[Generator, int], Picture]
PAINTERS: tuple[Painter, ...] = (
    _blank,
    _gradient,
    _noise,
    _text,
    _plot,
    _chequers,
    _barcode,
    _drawing,
    _cracks,
    _cobweb,
    _scan,
    _screen,
)


def _colour(rng: Generator, darkest: int = 0, brightest: int = 256) -> Colour:
    red, green, blue = rng.integers(darkest, brightest, 3).tolist()
    return red, green, blue


def _canvas(colour: Colour, side: int) -> Picture:
    return np.full((side, side, 3), colour, dtype=np.uint8)


def _clipped(values: NDArray[np.float64]) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _near(colour: Colour, rng: Generator) -> Colour:
    red, green, blue = np.clip(np.add(colour, rng.integers(-20, 21)), 0, 255).tolist()
    return red, green, blue


def _clouds(rng: Generator, side: int, exponent: float = 1.5) -> NDArray[np.float64]:
    """Noise (side, side) of mean 0 and variance 1 whose amplitude falls with frequency f as f ** -exponent."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1 / side
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) / frequency**exponent, s=(side, side))
    return np.asarray((field - field.mean()) / (field.std() + 1e-9))


def _two_nearest(
    points: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of each place (x, y) to the nearest and to the second nearest of the points."""
    first, second = np.full_like(x, np.inf), np.full_like(x, np.inf)
    for px, py in points:
        distance: NDArray[np.float64] = np.hypot(x - px, y - py)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    return first, second


def _thread(canvas: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64], rng: Generator) -> None:
    """Draw a thread that sags a little."""
    t = np.linspace(0, 1, 9)[:, None]
    line = start + t * (end - start)
    line[:, 1] += 4 * (t * (1 - t))[:, 0] * rng.uniform(0, 0.12) * np.hypot(*(end - start))
    cv2.polylines(
        canvas, [np.rint(line).astype(np.int32)], isClosed=False, color=255, thickness=1, lineType=cv2.LINE_AA
    )
