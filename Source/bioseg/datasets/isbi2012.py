"""ISBI 2012 challenge: serial-section TEM of the Drosophila ventral nerve cord, 512x512 pixels of 4x4x50 nm.

Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics",
Frontiers in Neuroanatomy 2015. Free for research with that citation. Label images: 255 = cell interior, 0 = membrane.

The groups are the blocks of sections that the splits keep apart. Training and challenge sections are two stacks of the
same tissue.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, Splits, files_in, pair_by_stem

NAME = "isbi2012"
DATASET = Dataset(
    name=NAME,
    title="ISBI 2012: membranes of fly neurons in serial-section TEM, 25 labelled and 30 unlabelled sections",
    citation=(
        "Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms for connectomics, "
        "Frontiers in Neuroanatomy 2015"
    ),
    licence="free for research with citation",
    source="https://imagej.net/events/isbi-2012-segmentation-challenge",
    layout="isbi2012/train/{image,label}/NN.png, isbi2012/test/image/NN.png",
    published=Path(__file__).with_name("isbi2012.json"),
)
MEMBRANE = 0
FIT = range(18)
CHOOSE = range(18, 20)
SCORE = range(20, 30)


def labelled(data_dir: Path) -> dict[int, Sample]:
    """Training sections by their number in the stack, each with its label image, paired by file name."""
    root = data_dir / NAME / "train"
    pairs = pair_by_stem(files_in(root / "image", ".png", ".tif"), files_in(root / "label", ".png", ".tif"))
    return {
        int(image.stem): Sample(image, source=NAME, group=f"{NAME}/train/{_block(int(image.stem))}", masks=(label,))
        for image, label in pairs
    }


def challenge(data_dir: Path) -> dict[int, Sample]:
    """Sections of the challenge's test stack by number; no public labels exist."""
    images = files_in(data_dir / NAME / "test" / "image", ".png", ".tif")
    return {
        int(image.stem): Sample(image, source=NAME, group=f"{NAME}/test/{int(image.stem) // 10}") for image in images
    }


def splits(data_dir: Path) -> Splits:
    """Blocks of consecutive sections: neighbours are alike, so a shuffled split would leak.

    Sections 0-17 fit, 18-19 choose, 20 and above score, as many as the copy at hand holds. The challenge's sections, if
    it holds them, have no labels.
    """
    sections = labelled(data_dir)

    def block(numbers: range) -> tuple[Sample, ...]:
        return tuple(sections[number] for number in sorted(sections) if number in numbers)

    unlabelled = challenge(data_dir) if (data_dir / NAME / "test").is_dir() else {}
    return Splits(
        fit=block(FIT),
        choose=block(CHOOSE),
        score=block(SCORE),
        unlabelled=tuple(unlabelled[number] for number in sorted(unlabelled)),
    )


def _block(number: int) -> str:
    return "fit" if number in FIT else "choose" if number in CHOOSE else "score"
