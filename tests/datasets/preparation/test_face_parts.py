"""One face: parts are painted in their order, labels keep their meaning when they become small, broken files are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image

from datasets.preparation.face_parts import merge_parts, write_face
from tasks.data_sets import CELEBA_19_CLASSES, CELEBA_CLASSES
from tests.datasets.preparation.official_faces import random_masks, write_face_files, write_mask
from utils.errors import DataError

OFFICIAL = dict(
    skin=1, nose=2, eye_g=3, l_eye=4, r_eye=5, l_brow=6, r_brow=7, l_ear=8, r_ear=9, mouth=10, u_lip=11, l_lip=12, hair=13,
    hat=14, ear_r=15, neck_l=16, neck=17, cloth=18,
)  # fmt: skip
"""The published numbers of the parts: a part with a larger number covers one with a smaller."""

READABLE = dict(eye_g="glasses", l_eye="left eye", r_brow="right brow", u_lip="upper lip", l_lip="lower lip", ear_r="earring")
READABLE |= dict(neck_l="necklace", neck="neck", cloth="cloth", skin="skin", r_ear="right ear")


def _prepare(root: Path, size: int, classes: int, parts: tuple[str, ...]) -> tuple[Image.Image, np.ndarray]:
    """Return the mask of face 7."""
    out = root / "out"
    for folder in ("CelebA-HQ-img", "CelebA-HQ-segmask"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_face(root, out, size, classes, (7, root / "CelebA-HQ-img" / "7.jpg", parts))
    with Image.open(out / "CelebA-HQ-img" / "7.jpg") as image:
        image.load()
    return image, np.load(out / "CelebA-HQ-segmask" / "00007_mask.npy")


def test_a_pixel_has_the_largest_number_of_the_parts_that_cover_it(tmp_path: Path) -> None:
    masks = random_masks(0, OFFICIAL)
    write_face_files(tmp_path, 7, masks)
    expected = np.max([OFFICIAL[part] * mask for part, mask in masks.items()], axis=0)
    assert len(np.unique(expected)) > 12  # the masks overlap, but hide few parts
    labels = merge_parts(tmp_path, 7, tuple(masks), 19)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


def test_every_part_has_its_own_name() -> None:
    assert {part: CELEBA_19_CLASSES[OFFICIAL[part]] for part in READABLE} == READABLE
    assert CELEBA_19_CLASSES[0] == "background"
    assert len(set(CELEBA_19_CLASSES)) == 19


def test_of_three_classes_hair_covers_skin_and_all_else_is_background(tmp_path: Path) -> None:
    masks = random_masks(1, OFFICIAL)
    write_face_files(tmp_path, 7, masks)
    names = np.where(masks["hair"], "hair", np.where(masks["skin"], "skin", "background"))
    labels = merge_parts(tmp_path, 7, tuple(masks), 3)
    np.testing.assert_array_equal(np.array(CELEBA_CLASSES)[labels], names)
    assert set(np.unique(names)) == {"background", "hair", "skin"}
    assert (masks["hair"] & masks["skin"]).any() and (masks["cloth"] & ~masks["skin"] & ~masks["hair"]).any()


@pytest.mark.parametrize("classes", [3, 19])
def test_parts_without_a_file_are_not_there(classes: int, tmp_path: Path) -> None:
    write_face_files(tmp_path, 7, random_masks(2, ["nose"]))
    assert set(np.unique(merge_parts(tmp_path, 7, ("nose",), classes))) == ({0, 2} if classes == 19 else {0})


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_whatever_is_not_black_is_the_part(mode: str, tmp_path: Path) -> None:
    mask = random_masks(3, ["skin"])["skin"]
    write_face_files(tmp_path, 7, {})
    write_mask(tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00007_skin.png", mask, mode)
    np.testing.assert_array_equal(merge_parts(tmp_path, 7, ("skin",), 19) == 1, mask)


def test_a_part_may_have_any_colour(tmp_path: Path) -> None:
    colours = np.zeros((512, 512, 3), np.uint8)
    colours[10, 20], colours[30, 40] = (0, 0, 1), (1, 0, 0)
    path = tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00007_skin.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(colours).save(path)
    assert np.argwhere(merge_parts(tmp_path, 7, ("skin",), 19)).tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize("size", [256, 100])
def test_a_small_mask_has_the_nearest_pixel_of_the_merged_one(size: int, tmp_path: Path) -> None:
    masks = random_masks(4, OFFICIAL)
    write_face_files(tmp_path, 7, masks)
    _, labels = _prepare(tmp_path, size, 19, tuple(masks))
    places = [int((place + 0.5) * 512 / size) for place in range(size)]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, merge_parts(tmp_path, 7, tuple(masks), 19)[np.ix_(places, places)])


def test_a_small_image_is_what_the_loaders_make_of_the_official_one(tmp_path: Path) -> None:
    write_face_files(tmp_path, 7, {})
    image, _ = _prepare(tmp_path, 256, 3, ())
    with Image.open(tmp_path / "CelebA-HQ-img" / "7.jpg") as official:
        pixels = torch.from_numpy(np.array(official).transpose(2, 0, 1).copy())
    expected = F.resize(pixels, [256, 256], antialias=True).numpy().transpose(1, 2, 0)
    assert image.size == (256, 256) and image.mode == "RGB" and image.format == "JPEG"
    assert np.abs(np.asarray(image).astype(int) - expected).mean() < 1


def test_a_small_image_is_antialiased_and_of_quality_95(tmp_path: Path) -> None:
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    write_face_files(tmp_path, 7, {}, stripes)
    image, _ = _prepare(tmp_path, 256, 3, ())
    assert np.abs(np.asarray(image).astype(int) - 127).max() < 12
    Image.new("RGB", (8, 8)).save(tmp_path / "reference.jpg", quality=95)
    with Image.open(tmp_path / "out" / "CelebA-HQ-img" / "7.jpg") as saved, Image.open(tmp_path / "reference.jpg") as wanted:
        assert saved.quantization == wanted.quantization  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("file", "picture", "said"),
    [
        ("CelebA-HQ-img/7.jpg", Image.new("RGB", (512, 512)), "is 512 x 512 in mode RGB; expected 1024 x 1024 in mode RGB"),
        ("skin.png", Image.new("RGB", (256, 512)), "is 256 x 512 in mode RGB; expected 512 x 512 in mode 1 or L or P or RGB"),
        ("skin.png", Image.new("LA", (512, 512)), "is 512 x 512 in mode LA; expected 512 x 512"),
    ],
)
def test_a_file_of_another_size_or_mode_is_named(file: str, picture: Image.Image, said: str, tmp_path: Path) -> None:
    write_face_files(tmp_path, 7, random_masks(5, ["skin", "hair"]))
    path = tmp_path / file if "/" in file else tmp_path / "CelebAMask-HQ-mask-anno" / "0" / f"00007_{file}"
    picture.save(path)
    with pytest.raises(DataError, match=said) as caught:
        _prepare(tmp_path, 32, 3, ("skin", "hair"))
    assert str(caught.value).startswith(f"{path} is ")
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize(("file", "length"), [("CelebA-HQ-img/7.jpg", 300), ("CelebAMask-HQ-mask-anno/0/00007_skin.png", 30)])
def test_a_file_that_was_cut_off_is_named(file: str, length: int, tmp_path: Path) -> None:
    write_face_files(tmp_path, 7, random_masks(6, ["skin"]))
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"cannot be read as an image .*unpack the official archive again") as caught:
        _prepare(tmp_path, 32, 3, ("skin",))
    assert str(path) in str(caught.value)


def test_a_face_that_is_there_is_left_alone(tmp_path: Path) -> None:
    write_face_files(tmp_path, 7, {})
    _prepare(tmp_path, 32, 3, ())
    files = [tmp_path / "out" / name for name in ("CelebA-HQ-img/7.jpg", "CelebA-HQ-segmask/00007_mask.npy")]
    before = [path.stat().st_mtime_ns for path in files]
    _prepare(tmp_path, 32, 3, ())
    assert [path.stat().st_mtime_ns for path in files] == before
    for path in files:
        path.unlink()
        _prepare(tmp_path, 32, 3, ())  # half a face is made again
        assert path.is_file()
