"""The report as one HTML page that needs nothing else: figures, curves, and pictures of the best and worst images."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from bioseg import images, metrics
from bioseg.bundles import Contract
from bioseg.datasets import Sample, pixels
from bioseg.evaluation import segmentation
from bioseg.evaluation.border_errors import border_errors
from bioseg.evaluation.line_chart import floor_of, line_chart
from bioseg.evaluation.report import ADMITTED, Metric, Report, Row
from bioseg.inference import Predictor
from bioseg.study import Study

SHOWN = 2
MERGE, SPLIT, FOREGROUND = (230, 20, 20), (20, 90, 255), (250, 204, 21)
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1f2937}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #e2e8f0;padding:.2rem .6rem;text-align:left}"
    "figure{display:inline-block;margin:0 1rem 1rem 0}img{display:block;max-width:100%}"
)

Picture = NDArray[np.uint8]
Point = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Shown:
    """An image with its errors drawn in, (H, W, 3) RGB, its name and the score by which it was chosen."""

    name: str
    score: float
    picture: Picture


def best_and_worst(
    study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample]
) -> tuple[Shown, ...]:
    """Draw the two best and the two worst of the samples, best first, at the shipped threshold.

    They are ranked by V_rand where the foreground is a boundary, else by Dice. Raises as `segmentation.evaluate` does.
    """
    shown = []
    for sample, (probability, truth) in zip(
        samples, segmentation.predictions(study, contract, predict, samples), strict=True
    ):
        score = _score(study, probability, truth, contract.threshold)
        shown.append(Shown(sample.image.name, score, _drawn(study, sample, probability > contract.threshold, truth)))
    ranked = sorted(shown, key=lambda each: -each.score)
    return tuple(ranked) if len(ranked) <= 2 * SHOWN else (*ranked[:SHOWN], *ranked[-SHOWN:])


def as_html(
    report: Report,
    contract: Contract,
    shown: Sequence[Shown] = (),
    course: Mapping[str, Sequence[Point]] = MappingProxyType({}),
) -> str:
    """Lay the report of a version out as a page; the pictures are inside it, so mind whose they are.

    `course` holds points (step, value) of curves of the fit by name, those of a second phase or fit after those of the
    first, under names of their own.
    """
    title = f"{report.study} {report.version}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        f"<p>{report.n} images, split <code>{report.split[:12]}</code>. {escape(report.computed)}</p>",
        *_figures("Figures", report.metrics),
        *_curves(report),
        *_learning(course),
        *_pictures(shown),
        *_figures("Recall of each class", report.classes),
        *_confusion(report, contract),
        *_rows("Sources", report.sources),
        *_rows("Corruptions", report.corruptions),
        *_rows(ADMITTED, report.admitted),
    ]
    for name, screening in report.screens.items():
        parts += _figures(f"As the screen of {name} (asking counts as wrong)", screening.metrics)
        parts += _rows(f"Verdicts by source for {name}", screening.sources)
    return "\n".join([*parts, "</body></html>", ""])


def _score(study: Study, probability: NDArray[np.float32], truth: NDArray[np.bool_], threshold: float) -> float:
    if study.foreground_is == "boundary":
        return float(segmentation.partition_scores(probability, truth, [threshold])[0, 0])
    return metrics.confusion_counts(probability > threshold, truth).dice


def _drawn(study: Study, sample: Sample, mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Picture:
    """Tint the mask, and paint false merges and splits of regions, or wrong pixels of objects."""
    picture = images.overlay(images.to_uint8(pixels.image(sample)), mask, FOREGROUND, 0.3)
    if study.foreground_is == "boundary":
        merges, splits = border_errors(mask, truth)
    else:
        merges, splits = truth & ~mask, mask & ~truth
    picture[_thick(merges)] = MERGE
    picture[_thick(splits)] = SPLIT
    return picture


def _thick(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = cv2.dilate(lines.astype(np.uint8), np.ones((3, 3), np.uint8)) == 1
    return grown


def _figures(title: str, figures: Mapping[str, Metric]) -> Iterator[str]:
    if not figures:
        return
    cells = [
        (
            name,
            f"{each.mean:.4f}",
            f"{each.low:.4f} to {each.high:.4f} ({each.method})",
            each.n,
            _at(each),
            _listed(each),
        )
        for name, each in figures.items()
    ]
    yield from _table(title, ("figure", "value", "95 % interval", "n", "threshold", "each image"), cells)


def _at(metric: Metric) -> str:
    return "" if metric.threshold is None else f"{metric.threshold:.2f}"


def _listed(metric: Metric) -> str:
    return " ".join(f"{value:.4f}" for value in metric.values)


def _curves(report: Report) -> Iterator[str]:
    if not report.curves:
        return
    yield "<h2>Curves</h2>"
    partitions = {name: curve for name, curve in report.curves.items() if name in ("v_rand", "v_info")}
    if partitions:
        yield line_chart("Regions", "threshold", partitions, floor_of(partitions))
    diagonal = [(0.0, 0.0), (1.0, 1.0)]
    yield line_chart("Calibration", "probability", {"ideal": diagonal, "measured": report.curves["calibration"]})
    for name, curve in report.curves.items():
        if name.startswith("roc "):
            screened = name.removeprefix("roc ")
            yield line_chart(f"Screen of {screened}", "unwanted let in", {"chance": diagonal, "wanted let in": curve})


def _learning(course: Mapping[str, Sequence[Point]]) -> Iterator[str]:
    """Draw what a fit reached against its steps: shares, and losses in units of the first."""
    if not course:
        return
    yield "<h2>Learning curves</h2>"
    last = max(step for curve in course.values() for step, _ in curve)
    scaled = {name: [(step / last, value) for step, value in curve] for name, curve in course.items()}
    losses = {name: curve for name, curve in scaled.items() if name.endswith("loss")}
    if losses:
        largest = max(value for curve in losses.values() for _, value in curve)
        relative = {name: [(x, value / largest) for x, value in curve] for name, curve in losses.items()}
        yield line_chart(f"Loss, 1 = {largest:.3g}", f"share of {last} steps", relative)
    reached = {name: curve for name, curve in scaled.items() if name not in losses}
    if reached:
        yield line_chart("Reached", f"share of {last} steps", reached, floor_of(reached))


def _pictures(shown: Sequence[Shown]) -> Iterator[str]:
    if not shown:
        return
    yield "<h2>Best and worst</h2>"
    yield (
        "<p>Yellow: the mask. Red: a border that is missed (a false merge), or foreground that is; "
        "blue: a border too many (a false split), or foreground too much.</p>"
    )
    for each in shown:
        png = base64.b64encode(images.encode_png(each.picture)).decode()
        caption = f"{escape(each.name)}: {each.score:.4f}"
        image = f'<img alt="{caption}" src="data:image/png;base64,{png}">'
        yield f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _confusion(report: Report, contract: Contract) -> Iterator[str]:
    if report.confusion:
        rows = [(name, *row) for name, row in zip(contract.classes, report.confusion, strict=True)]
        yield from _table("Images by true class (row) and predicted class", ("", *contract.classes), rows)


def _rows(title: str, rows: Mapping[str, Row]) -> Iterator[str]:
    if rows:
        columns = next(iter(rows.values())).keys()
        cells = [(name, *(f"{value:.4g}" for value in row.values())) for name, row in rows.items()]
        yield from _table(title, ("", *columns), cells)


def _table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"<h2>{escape(title)}</h2><table><tr>{''.join(f'<th>{escape(column)}</th>' for column in columns)}</tr>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>"
    yield "</table>"
