"""Show a report, and put it into the pages: `python -m bioseg.benchmark REPORT.json README.md CHART.svg`."""

import json
import sys
from pathlib import Path

from bioseg.benchmark import as_text, chart, readme


def main(report_file: Path, page: Path, picture: Path) -> None:
    """Print the tables of a report of `bioseg bench --json`, and write the README's table and the chart."""
    report = json.loads(report_file.read_text(encoding="utf-8"))
    sys.stdout.write(as_text(report) + "\n")
    page.write_text(readme.updated(page.read_text(encoding="utf-8"), report), encoding="utf-8")
    picture.write_text(chart.as_svg(report), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
