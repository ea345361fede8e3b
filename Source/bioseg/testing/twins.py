"""Synthetic twins: a few drawn images in the real on-disk layout of each dataset, and a drawn EM section.

Every function draws the same images at every call. They are told apart by eye and by a small classifier, and no two of
them are near-duplicates; nothing is claimed beyond that.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from bioseg.datasets.synthetic_sections import field, membrane_section, pixels

__all__ = ["membrane_section", "write_all"]

Gray = NDArray[np.uint8]
Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

SIDE = 64


def isbi2012(folder: Path, sections: int = 25, challenge: int = 30, side: int = SIDE) -> None:
    """Write training sections with labels (255 = interior) and challenge sections without."""
    for number in range(sections):
        image, interior = membrane_section(number, side)
        _save(folder / f"isbi2012/train/image/{number:02d}.png", image)
        _save(folder / f"isbi2012/train/label/{number:02d}.png", _mask(interior))
    for number in range(challenge):
        _save(folder / f"isbi2012/test/image/{number:02d}.png", membrane_section(1000 + number, side)[0])


def em_medulla(folder: Path, side: int = SIDE) -> None:
    """Write 50 slices with membrane images (255 = membrane)."""
    for number in range(50):
        image, interior = membrane_section(2000 + number, side)
        _save(folder / f"em_medulla/image/iso.{2600 + 5 * number}.png", image)
        _save(folder / f"em_medulla/membrane/iso.{2600 + 5 * number}.png", _mask(~interior), bilevel=True)


def em_unlabelled(folder: Path, side: int = SIDE) -> None:
    """Write EM sections of three tissues, without labels."""
    root = folder / "em_unlabelled"
    hela = (f"hela/ROI_6005_4739_81_z{plane:04d}.jpg" for plane in (1, 4, 28, 32, 56, 60, 64, 112))
    medulla = (f"medulla520/iso.{plane:05d}.png" for plane in range(3490, 4010, 26))
    for number, name in enumerate((*hela, *medulla, "axon-sem/image1.jpg", "axon-sem/image2.jpg")):
        _save(root / name, membrane_section(3000 + number, side)[0])


def montgomery(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write chest X-rays, every fourth with tuberculosis in its name, with a mask for each lung."""
    root = folder / "lung_montgomery/MontgomerySet"
    for number, rng in _numbered(4000, count):
        image, right, left = _chest(rng, side)
        name = f"MCUCXR_{number + 1:04d}_{int(number % 4 == 3)}.png"
        _save(root / "CXR_png" / name, image)
        _save(root / "ManualMask/leftMask" / name, _mask(left), bilevel=True)
        _save(root / "ManualMask/rightMask" / name, _mask(right), bilevel=True)


def shenzhen(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write chest X-rays with one mask for both lungs."""
    for number, rng in _numbered(5000, count):
        image, right, left = _chest(rng, side)
        name = f"CHNCXR_{number + 1:04d}_{number % 2}.png"
        _save(folder / "lung_shenzhen/image" / name, image)
        _save(folder / "lung_shenzhen/mask" / name, _mask(left | right), bilevel=True)


def isic2018(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write a brown lesion on skin, with its mask."""
    for number, rng in _numbered(6000, count):
        lesion = _blob(rng, side, rng.uniform(0.12, 0.3))
        tone = np.where(lesion[..., None], (110, 66, 48), (222, 170, 150)) + 14 * field(rng, side, 4)[..., None]
        _save(folder / f"skin_isic2018/image/ISIC_{number:07d}.jpg", pixels(tone + rng.normal(0, 4, tone.shape)))
        _save(folder / f"skin_isic2018/mask/ISIC_{number:07d}.png", _mask(lesion), bilevel=True)


def brain_mri(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write slices of a head without (`no`) and with (`yes`) a bright tumour."""
    for number, rng in _numbered(7000, count):
        _save(folder / f"brain_mri/no/no_{number}.jpg", _head(rng, side, tumours=0))
    for number, rng in _numbered(7500, count):
        _save(folder / f"brain_mri/yes/Y{number}.jpg", _head(rng, side, tumours=1))


def brain_4class(folder: Path, count: int = 12, side: int = SIDE) -> None:
    """Write slices of a head for each of the four classes, told apart by the number of bright spots."""
    series = {"glioma_tumor": "gg", "meningioma_tumor": "m1", "pituitary_tumor": "p", "no_tumor": "image"}
    for tumours, (label, name) in enumerate(series.items(), start=1):
        for number, rng in _numbered(8000 + 100 * tumours, count):
            file = folder / f"brain_4class/{label}/training_{name} ({7 * number + 1}).jpg"
            _save(file, _head(rng, side, tumours % len(series)))


def dsb2018(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write nuclei, a third each: bright on black, purple on pink, gray on white."""
    looks = (((10, 10, 10), (190, 190, 190)), ((205, 170, 215), (90, 40, 140)), ((235, 235, 235), (150, 150, 150)))
    for number, rng in _numbered(9000, 3 * count):
        ground, nucleus = looks[number % len(looks)]
        nuclei = np.logical_or.reduce([_blob(rng, side, 0.07) for _ in range(9)])
        noise = rng.normal(0, 4, (side, side, 1)) + 3 * field(rng, side, 4)[..., None]
        _save(folder / f"other/dsb2018/{number:04x}.jpg", pixels(np.where(nuclei[..., None], nucleus, ground) + noise))


def bsds(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write landscapes: sky, land and a few things on it."""
    for number, rng in _numbered(10_000, count):
        _save(folder / f"other/bsds/{10_000 + number}.jpg", _scene(rng, side))


def cid22(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write landscapes as well."""
    for number, rng in _numbered(11_000, count):
        _save(folder / f"other/cid22/{110_000 + number}.jpg", _scene(rng, side))


def dtd(folder: Path, count: int = 16, side: int = SIDE) -> None:
    """Write stripes and chequers in two colours."""
    y, x = np.mgrid[0:side, 0:side]
    for number, rng in _numbered(12_000, count):
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, side / 3)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 6))
        if number % 2:
            wave = wave * np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / period)
        pattern = (wave > 0)[..., None]
        light, dark = rng.uniform(0, 255, (2, 3))
        word = ("banded", "chequered")[number % 2]
        _save(folder / f"other/dtd/{word}_{number:04d}.jpg", pixels(np.where(pattern, light, dark)))


TWINS: tuple[Callable[[Path], None], ...] = (
    isbi2012,
    em_medulla,
    em_unlabelled,
    montgomery,
    shenzhen,
    isic2018,
    brain_mri,
    brain_4class,
    dsb2018,
    bsds,
    cid22,
    dtd,
)


def write_all(folder: Path) -> None:
    """Write the twin of every dataset under `folder`, a data directory that every reader can use; below one second."""
    for write in TWINS:
        write(folder)


def _numbered(seed: int, count: int) -> Iterable[tuple[int, Generator]]:
    return ((number, np.random.default_rng([seed, number])) for number in range(count))


def _blob(rng: Generator, side: int, radius: float) -> Mask:
    """Draw an ellipse somewhere in the middle; `radius` is its mean half axis as a share of the side."""
    centre = rng.uniform(0.25, 0.75, 2)
    return _ellipse(side, centre, radius * rng.uniform(0.8, 1.2, 2), rng.uniform(0, np.pi))


def _ellipse(side: int, centre: Iterable[float], axes: Iterable[float], angle: float = 0.0) -> Mask:
    (cx, cy), (a, b) = centre, axes
    y, x = (np.indices((side, side)) + 0.5) / side
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    return np.asarray((along / a) ** 2 + (across / b) ** 2 <= 1)


def _chest(rng: Generator, side: int) -> tuple[Gray, Mask, Mask]:
    """Draw an X-ray; returns it with the lung at the left of the picture (the patient's right) and the other one."""
    right = _ellipse(side, (rng.uniform(0.26, 0.34), rng.uniform(0.42, 0.55)), rng.uniform((0.1, 0.2), (0.17, 0.32)))
    left = _ellipse(side, (rng.uniform(0.66, 0.74), rng.uniform(0.42, 0.55)), rng.uniform((0.1, 0.2), (0.17, 0.32)))
    body = _ellipse(side, (0.5, rng.uniform(0.5, 0.62)), (rng.uniform(0.42, 0.56), rng.uniform(0.46, 0.64)))
    tone = np.where(right | left, 60, np.where(body, 170, 15)) + 22 * field(rng, side, 4)
    return pixels(tone + rng.normal(0, 4, tone.shape)), right, left


def _head(rng: Generator, side: int, tumours: int) -> Gray:
    axes = (rng.uniform(0.28, 0.44), rng.uniform(0.34, 0.48))
    centre = rng.uniform(0.42, 0.58, 2)
    skull, brain = _ellipse(side, centre, axes), _ellipse(side, centre, [axis - 0.05 for axis in axes])
    tone = np.where(brain, 95 + 26 * field(rng, side, 5), np.where(skull, 200, 4))
    for _ in range(tumours):
        tone = np.where(_blob(rng, side, 0.08) & brain, 225, tone)
    return pixels(tone + rng.normal(0, 4, tone.shape))


def _scene(rng: Generator, side: int) -> Gray:
    horizon = rng.uniform(0.25, 0.75) * side + 0.06 * side * field(rng, side, 5)[0]
    land = (np.arange(side)[:, None] > horizon[None, :])[..., None]
    tone = np.where(land, rng.uniform((40, 70, 20), (140, 160, 90)), rng.uniform((90, 130, 190), (200, 210, 250)))
    tone = tone + 30 * np.stack([field(rng, side, waves) for waves in (6, 6, 7)], axis=-1) * land
    for _ in range(int(rng.integers(1, 5))):
        tone = np.where(_blob(rng, side, rng.uniform(0.05, 0.2))[..., None], rng.uniform(0, 255, 3), tone)
    return pixels(tone)


def _mask(region: Mask) -> Gray:
    return np.where(region, 255, 0).astype(np.uint8)


def _save(file: Path, pixels: Gray, *, bilevel: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert("1") if bilevel else image).save(file, quality=90)
