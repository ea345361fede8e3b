"""Brain MRI with and without a tumour: `brain_mri` is what counts, `brain_4class` is more to learn from.

`brain_4class` names the type of a tumour, so it tells yes or no as well. It is fitted on only: its slices without a
tumour come from elsewhere than those with one, and a network that tells the origins apart would score well on it. The
two sources share pictures, so near-duplicates are united across them (the pixels are read for that), and what is like a
slice of `brain_mri` that chooses or scores is left out.
"""

from dataclasses import replace
from pathlib import Path

from bioseg.datasets import Sample, Splits, brain_4class, brain_mri, split_by_group
from bioseg.datasets.fingerprints import regroup

LABELS = brain_mri.LABELS
TUMOUR = {label: "no" if label == "no_tumor" else "yes" for label in brain_4class.LABELS}


def splits(data_dir: Path) -> Splits:
    """Split `brain_mri` by group, 60 % fit, 15 % choose, 25 % score; the slices of `brain_4class` join the fit.

    Slices whose thumbnails correlate by `brain_4class.NEIGHBOURS` are one group.
    """
    more = (replace(sample, label=TUMOUR[str(sample.label)]) for sample in brain_4class.samples(data_dir))
    both = regroup((*brain_mri.samples(data_dir), *more), brain_4class.NEIGHBOURS)
    own = split_by_group([sample for sample in both if sample.source == brain_mri.NAME])
    held_out = {sample.group for sample in (*own.choose, *own.score)}
    return replace(own, fit=(*own.fit, *_elsewhere(both, held_out)))


def _elsewhere(samples: tuple[Sample, ...], held_out: set[str]) -> tuple[Sample, ...]:
    return tuple(sample for sample in samples if sample.source == brain_4class.NAME and sample.group not in held_out)
