"""Tiny Cityscapes and PASCAL-Context in the form of the official files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

CITIES = {
    **{"train/aachen": 4, "train/bochum": 1, "train/darmstadt": 1, "train/ulm": 1, "train/zurich": 1},
    **{"val/frankfurt": 2, "test/berlin": 1},
}
"""Frames per folder."""
LABEL_IDS = np.arange(32 * 64, dtype=np.uint8).reshape(32, 64) % 34
"""All 34 numbers of an official label image, of every frame."""
DISPARITY = np.where(np.arange(64) < 8, 0, np.linspace(1, 32257, 64)).astype(np.uint16)[None].repeat(32, axis=0)
"""Stored numbers of every frame: the left eighth is not measured."""

SIZE = (40, 48)
SALIENCY = np.linspace(0, 255, SIZE[1]).astype(np.uint8)[None].repeat(SIZE[0], axis=0)
"""Grey values of every frame."""
PASCAL = {"train": [f"2008_{number:06d}" for number in range(6)], "val": [f"2010_{number:06d}" for number in range(2)]}
"""Frames per list."""
IN_VOC12 = ("2008_000001", "2010_000001")
PERSON, DOG = 15, 12


def write_image(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _photo(number: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (*size, 3)).astype(np.uint8)


def write_cityscapes(root: Path) -> None:
    """Write what the three archives hold, the files of other annotations among them."""
    for folder, count in CITIES.items():
        city = folder.rpartition("/")[2]
        for number in range(count):
            frame = f"{folder}/{city}_{number:06d}_000019"
            write_image(root / f"leftImg8bit/{frame}_leftImg8bit.png", _photo(number, LABEL_IDS.shape))
            write_image(root / f"gtFine/{frame}_gtFine_labelIds.png", LABEL_IDS)
            write_image(root / f"gtFine/{frame}_gtFine_instanceIds.png", LABEL_IDS.astype(np.uint16) * 1000)
            write_image(root / f"gtFine/{frame}_gtFine_color.png", _photo(number, LABEL_IDS.shape))
            (root / f"gtFine/{frame}_gtFine_polygons.json").write_text("{}")
            write_image(root / f"disparity/{frame}_disparity.png", DISPARITY)


def rectangle(*rows_and_columns: int) -> np.ndarray:
    """Return a mask (H, W) uint8 that is 1 from the first row and column to the last, exclusively."""
    top, bottom, left, right = rows_and_columns
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def thing(class_ind: int, mask: np.ndarray, parts: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """Return an object of an annotation of PASCAL-Part; without parts it has an empty array of them."""
    names = [("part_name", "O"), ("mask", "O")]
    return "a class", class_ind, mask, np.array([[*parts.items()]], names) if parts else np.zeros((0, 0))


def write_parts(path: Path, *things: tuple[Any, ...]) -> None:
    """Write the annotation of a frame of PASCAL-Part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = [(name, "O") for name in ("class", "class_ind", "mask", "parts")]
    savemat(path, {"anno": {"imname": path.stem, "objects": np.array([[*things]], fields)}}, do_compression=True)


ADULT = thing(PERSON, rectangle(4, 30, 4, 14), {"head": rectangle(4, 10, 6, 12), "neck": rectangle(9, 12, 6, 12)})
CHILD = thing(PERSON, rectangle(20, 36, 20, 30), {"rfoot": rectangle(32, 36, 22, 26)})
CROWD = thing(PERSON, rectangle(0, 4, 0, 48), {})
PET = thing(DOG, rectangle(30, 40, 30, 48), {"head": rectangle(30, 34, 30, 34)})
THINGS = {"2008_000000": (ADULT, PET, CHILD), "2008_000001": (PET,), "2008_000002": (CROWD,), "2010_000000": (CHILD,)}
"""Objects per frame; the others have a child."""


def semseg_of(frame: str, voc12: bool) -> np.ndarray:
    """Return the classes of a frame, 0 to 20, with a border of 255 in the files of VOC12."""
    classes = np.full(SIZE, int(frame[-1]) + 1, np.uint8)
    classes[:20] = 20
    if voc12:
        classes[20] = 255
    return classes


def write_pascal(root: Path) -> None:
    """Write what the archive PASCAL_MT holds."""
    (root / "ImageSets" / "Context").mkdir(parents=True)
    for split, frames in PASCAL.items():
        (root / "ImageSets" / "Context" / f"{split}.txt").write_text("".join(f"{frame}\n" for frame in frames))
        for number, frame in enumerate(frames):
            write_image(root / f"JPEGImages/{frame}.jpg", _photo(number, SIZE))
            write_image(root / f"semseg/pascal-context/{frame}.png", semseg_of(frame, voc12=False))
            if frame in IN_VOC12:
                labels = Image.fromarray(semseg_of(frame, voc12=True))
                labels.putpalette([value for number in range(256) for value in (number, 255 - number, 7)])
                (root / "semseg" / "VOC12").mkdir(exist_ok=True)
                labels.save(root / f"semseg/VOC12/{frame}.png")
            normals = np.full((*SIZE, 3), (128, 128, 255), np.uint8)
            normals[:, :4] = 128  # no direction
            normals[:, 24:] = (0, 128, 128)  # x is -1
            write_image(root / f"normals_distill/{frame}.png", normals)
            write_image(root / f"sal_distill/{frame}.png", SALIENCY)
            write_parts(root / f"human_parts/{frame}.mat", *THINGS.get(frame, (CHILD,)))
            (root / "pascal-context" / "trainval").mkdir(parents=True, exist_ok=True)
            classes = np.full(SIZE, 207, np.uint16)
            classes[10:, 24:] = 59
            savemat(root / f"pascal-context/trainval/{frame}.mat", {"LabelMap": classes}, do_compression=True)
