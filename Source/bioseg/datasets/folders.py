"""Images and label images in two folders of one's own, paired by stem."""

from pathlib import Path

from bioseg.datasets import Sample, files_in, pair_by_stem

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")


def paired(images: Path, labels: Path) -> tuple[Sample, ...]:
    """Pair the images of one folder with the label images of another.

    Raises
    ------
    DatasetError
        When a folder is empty or a file has no partner of the same stem.
    """
    pairs = pair_by_stem(files_in(images, *SUFFIXES), files_in(labels, *SUFFIXES))
    return tuple(Sample(image, source=images.name, group=image.stem, masks=(label,)) for image, label in pairs)
