"""A report as a page of one file: nothing is loaded, no script runs, and its own policy forbids anything else."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from bioseg.gate import chart
from bioseg.gate.chart import Line
from bioseg.policy.guardrails import COST_LIMIT
from bioseg.policy.offline import COSTS

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem .3rem 0;
vertical-align: top; border-bottom: 1px solid #e5e7eb } svg { max-width: 100%; height: auto }
.verdict { font-weight: 700 } .promote, .passed { color: #15803d } .rollback, .broken { color: #b91c1c }
.inconclusive, .unclear { color: #b45309 } code { overflow-wrap: anywhere }
"""
MOST_ROWS = 200
VERDICTS = {
    "promote": "Promote: the candidate may become the champion",
    "inconclusive": "Inconclusive: the champion stays",
    "rollback": "Rollback: the candidate must not serve",
}


def page(report: Mapping[str, Any]) -> str:
    """Lay a report, as `GateReport.as_json` gives it, out as an HTML document."""
    title = f"{report['study']} {report['candidate']['version']} against {report['champion']['version']}"
    policy = f"default-src 'none'; style-src 'sha256-{_hash(STYLE)}'"
    verdict = report["verdict"]
    sections = {
        "What was compared": _setting(report),
        "Differences, candidate minus champion": _differences(report),
        "Guardrails": _costs(report) + _guardrails(report["guardrails"]),
        "Unit by unit": _units(report["units"]),
    }
    body = "".join(f"<h2>{heading}</h2>\n{content}\n" for heading, content in sections.items())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="verdict {verdict}">{VERDICTS[verdict]}</p>\n<p>{escape(report["reason"])}</p>\n'
        f"{body}</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _setting(report: Mapping[str, Any]) -> str:
    rule, split = report["rule"], report["split"]
    drawn = f", and drawn pictures {split['drawn'][0]} to {split['drawn'][1]}" if split["drawn"] else ""
    goal = "better" if rule["goal"] == "superior" else f"not worse by {rule['margin']}, and faster or smaller"
    rows = [
        *(_described(name, report[name]) for name in ("champion", "candidate")),
        ("held-out images", f"{split['images']}{drawn}; content <code>{split['sha256']}</code>"),
        ("asked of the candidate", escape(f"{goal} in {rule['metric']}")),
        ("units", escape(report["computed"])),
        (
            "made",
            escape(f"{report['created']}, bioseg {report['bioseg']}, {report['runtime']}, {report['threads']} threads"),
        ),
    ]
    return _table((), rows)


def _described(name: str, side: Mapping[str, Any]) -> tuple[str, str]:
    threshold = "" if side["threshold"] is None else f", threshold {side['threshold']:g}"
    version = f"{side['version']} ({side['precision']}{threshold})"
    return name, f"{escape(version)}; manifest <code>{side['bundle']}</code>"


def _differences(report: Mapping[str, Any]) -> str:
    rule = report["rule"]
    compared = {rule["metric"]: report["quality"], **report["secondary"]}
    lines = [
        Line(name, found["mean"], found["low"], found["high"], tuple(found["values"].values()))
        for name, found in compared.items()
    ]
    marks = [0.0] if rule["goal"] == "superior" else [-rule["margin"], 0.0]
    rows = [_compared(name, found) for name, found in compared.items()]
    columns = ("figure", "champion", "candidate", "difference", "interval", "n", "method")
    listed = report["quality"]["values"].items()
    values = _table((rule["metric"], "difference"), ((escape(name), f"{value:+.4f}") for name, value in listed))
    return chart.intervals(lines, marks, "+.4f") + _table(columns, rows) + (values if listed else "")


def _compared(name: str, found: Mapping[str, Any]) -> Sequence[str]:
    interval = f"{found['low']:+.4f} to {found['high']:+.4f} ({found['confidence']:.1%})"
    scores = (f"{found[side]:.4f}" for side in ("champion", "candidate"))
    counts = f"{found['clusters']} clusters of {found['units']} units"
    return (escape(name), *scores, f"{found['mean']:+.4f}", interval, counts, escape(found["method"]))


def _costs(report: Mapping[str, Any]) -> str:
    lines = [
        Line(rail["name"], rail["value"], rail["low"], rail["high"])
        for rail in report["guardrails"]
        if rail["name"] in COSTS and rail["value"] is not None
    ]
    return chart.intervals(lines, [1.0, COST_LIMIT], ".2f") if lines else ""


def _guardrails(rails: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (escape(rail["name"]), f'<span class="{escape(rail["state"])}">{rail["state"]}</span>', escape(rail["reason"]))
        for rail in rails
    ]
    return _table(("guardrail", "state", "found"), rows)


def _units(units: Sequence[Mapping[str, Any]]) -> str:
    """All units when they are few, else those on which the versions differ, the greatest losses first."""
    by_loss = sorted(units, key=lambda unit: unit["candidate"] - unit["champion"])
    shown = by_loss if len(units) <= MOST_ROWS else [unit for unit in by_loss if unit["candidate"] != unit["champion"]]
    rows = [
        (escape(unit["name"]), f"{unit['champion']:.4f}", f"{unit['candidate']:.4f}", _signed(unit))
        for unit in shown[:MOST_ROWS]
    ]
    left_out = len(units) - len(rows)
    note = f"<p>{left_out} of {len(units)} units are not listed; the JSON report has them.</p>" if left_out else ""
    return (_table(("unit", "champion", "candidate", "difference"), rows) if rows else "") + note


def _signed(unit: Mapping[str, Any]) -> str:
    return f"{unit['candidate'] - unit['champion']:+.4f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    head = f"<tr>{''.join(f'<th>{column}</th>' for column in columns)}</tr>\n" if columns else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table>\n{head}{body}</table>"
