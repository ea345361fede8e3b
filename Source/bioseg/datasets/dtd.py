"""Describable textures dataset (DTD), eight of its 47 words: pictures of textures, at most 256 pixels, in colour.

Cimpoi et al., "Describing textures in the wild", CVPR 2014, as in pan8915/DeepTexture. Research use. A file name is
`<word>_<number>.jpg`; each picture is a group of its own.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, files_in

NAME = "dtd"
DATASET = Dataset(
    name=NAME,
    title="Describable textures",
    citation="Cimpoi et al., Describing textures in the wild, CVPR 2014",
    licence="research use",
    source="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    layout="other/dtd/WORD_NNNN.jpg",
    steps="Download the archive and copy the .jpg files of images/*/ into one folder.",
    folder="other/dtd",
)
LABEL = "texture"


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All pictures, by name."""
    files = files_in(data_dir / "other" / NAME, ".jpg")
    return tuple(Sample(file, source=NAME, group=f"{NAME}/{file.stem}", label=LABEL) for file in files)
