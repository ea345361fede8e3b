"""What the server itself says of where a request's time goes."""

import re
from collections.abc import Mapping

from bioseg.benchmark import figures, ways
from bioseg.benchmark.figures import Stage
from bioseg.benchmark.load import Target

NEEDED = ("decode", "screen", "model", "encode")
"""What any server would have to do with an upload: the rest is what ours costs."""


def of_server(target: Target, requests: int) -> dict[str, Stage]:
    """Ask so many times, one after the other, and sum the stages up; ms.

    `total` is from a request's arrival to its answer, `outside` what is left of it without decoding, networks and
    encoding. Both are of each request, so percentiles of `outside` are no differences of percentiles.

    Raises
    ------
    ProcessFailed
        When an answer has another status than expected.
    """
    with ways.asking(target) as ask:
        answers = [ask() for _ in range(requests)]
    return figures.stages([with_outside(server_timing(answer.server_timing)) for answer in answers])


def server_timing(header: str) -> dict[str, float]:
    """Milliseconds by name from a `Server-Timing` header (W3C Server Timing, section 3).

    >>> server_timing("total;dur=12.5, decode;dur=2")
    {'total': 12.5, 'decode': 2.0}
    """
    return {name: float(ms) for name, ms in re.findall(r"([\w-]+);dur=([\d.]+)", header)}


def with_outside(row: Mapping[str, float]) -> dict[str, float]:
    """Add to the stages of a request what its total holds beside decoding, networks and encoding.

    >>> with_outside({"decode": 1.0, "model": 5.0, "store": 2.0, "total": 9.0})["outside"]
    3.0
    """
    return {**row, "outside": row["total"] - sum(row.get(name, 0.0) for name in NEEDED)}
