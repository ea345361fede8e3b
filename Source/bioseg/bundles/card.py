"""The model card: what a bundle is, what it was made from, how well it does and where it does not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bioseg.bundles import Contract

TASKS = {
    "segmentation": "Marks {classes} in an image: a probability for every pixel.",
    "classification": "Tells which of these an image is: {classes}.",
}
FAILURES = {
    "segmentation": "bioseg segment IMAGES --study {study} --version {version} --save overlay --out failures",
    "classification": "bioseg classify IMAGES --study {study} --json",
}
LIMITS = (
    "A research tool: not for diagnosis, and for no decision on a patient.",
    "Nothing is known of images from instruments, stains or tissues that are not listed under Data.",
)
OWN_SECTIONS = ("notice", "data", "splits", "limits", "command", "course")


def text(contract: Contract, *, created: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """Write the card from what the manifest holds.

    Parameters
    ----------
    contract
        How the network is fed and read.
    created
        ISO 8601 time.
    metrics
        Nested by name; a mapping with `mean`, `low`, `high` and `n` is one figure with its interval, and nothing else
        is shown but the top-level `split` (hash of the samples) and `computed` (how).
    provenance
        `notice`: a sentence above all. `data`: list of {"name", "what", "citation", "licence"}. `splits`: hash by part.
        `limits`: list of sentences. `command`: what fits the same network again. Everything else is printed as it
        stands.

    Returns
    -------
    Markdown.
    """
    sections = {
        "Data": _data(provenance.get("data", ())),
        "Splits": _table(("part", "sha256 of its content"), provenance.get("splits", {}).items()),
        "Figures": _figures(metrics),
        "Limits": "\n".join(f"- {limit}" for limit in (*provenance.get("limits", ()), *LIMITS)),
        "See where it fails": _failures(contract),
        "Fit it again": _reproduction(provenance),
    }
    notice = f"> {provenance['notice']}\n\n" if "notice" in provenance else ""
    title = f"# {contract.study} {contract.version}\n\n{notice}{_summary(contract, created)}\n"
    return title + "".join(f"\n## {heading}\n\n{body}\n" for heading, body in sections.items())


def _summary(contract: Contract, created: str) -> str:
    size = f"{contract.side} x {contract.side} pixels" if contract.side else "any size"
    colours = {1: "gray", 3: "RGB"}[contract.channels]
    facts = (
        ("network", f"{contract.architecture} ({contract.framework}), served in {contract.precision}"),
        ("input", f"{colours}, {size}, intensities {contract.normalisation}"),
        ("reading", _reading(contract)),
        ("created", created),
    )
    return TASKS[contract.task].format(classes=", ".join(contract.classes)) + "\n\n" + _table(("", ""), facts)


def _reading(contract: Contract) -> str:
    if contract.task == "segmentation":
        return f"foreground above {contract.threshold:g}"
    screen = f"accepted from {contract.accept_at:g}, rejected below {contract.reject_below:g}"
    return f"logits divided by {contract.temperature:.3g}; as a screen {screen}"


def _data(sources: Sequence[Mapping[str, str]]) -> str:
    columns = ("name", "what", "citation", "licence")
    return _table(columns, ([source.get(column, "") for column in columns] for source in sources))


def _figures(metrics: Mapping[str, Any]) -> str:
    table = _table(("figure", "value", "95 % interval", "n"), _rows(metrics, ""))
    if "split" not in metrics:
        return table
    return f"On the samples with hash `{metrics['split']}`. {metrics.get('computed', '')}\n\n{table}"


def _rows(metrics: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    for name, value in metrics.items():
        title = f"{path} {name}".strip()
        if isinstance(value, Mapping) and {"mean", "low", "high", "n"} <= value.keys():
            interval = f"{_number(value['low'])} to {_number(value['high'])}"
            yield title, _number(value["mean"]), interval, str(value["n"])
        elif isinstance(value, Mapping):
            yield from _rows(value, title)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _failures(contract: Contract) -> str:
    evaluate = f"bioseg evaluate {contract.study} --version {contract.version} --json"
    draw = FAILURES[contract.task].format(study=contract.study, version=contract.version)
    return (
        "No image ships with this card: the data is lent. With the data in `BIOSEG_DATA_DIR`, the first command lists "
        f"the score of every image, the second shows what the network makes of the worst of them.\n\n"
        f"```\n{evaluate}\n{draw}\n```"
    )


def _reproduction(provenance: Mapping[str, Any]) -> str:
    command = provenance.get("command")
    rest = {name: value for name, value in provenance.items() if name not in OWN_SECTIONS}
    described = json.dumps(rest, indent=2, sort_keys=True, default=str)
    return (f"```\n{command}\n```\n\n" if command else "") + f"```json\n{described}\n```"


def _table(columns: Sequence[str], rows: Any) -> str:
    lines = [" | ".join(_cell(cell) for cell in row) for row in rows]
    if not lines:
        return "Not recorded."
    head = (" | ".join(columns), " | ".join("---" for _ in columns))
    return "\n".join(f"| {line} |" for line in (*head, *lines))


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
