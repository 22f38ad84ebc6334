"""Photos: found in order under names of their own, read upright in RGB, and seen as the loaders show a frame."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import build_dataset
from datasets.images import read_photo
from datasets.photos import find_photos, network_input
from datasets.synthetic.rooms import write_rooms
from tests.configs import make_config
from utils.errors import DataError


def save(image: Image.Image, path: Path, **options: object) -> Path:
    """Write an image; returns its path."""
    image.save(path, **options)
    return path


def test_photos_are_found_in_order_and_everything_else_is_left_out(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.webp", "c.TIFF", "notes.txt", ".hidden.jpg", "d.jpeg", "e.bmp", "f.Png", "g.tif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "inside.jpg").touch()
    names = ["a.webp", "b.JPG", "c.TIFF", "d.jpeg", "e.bmp", "f.Png", "g.tif"]
    assert find_photos(tmp_path) == {name[0]: tmp_path / name for name in names}


def test_photos_of_other_types_are_named_where_they_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Phones write .heic: whoever misses their photo has to know why."""
    (tmp_path / "IMG_1.HEIC").touch()
    with pytest.raises(DataError, match=r"there is no photo in it; .*; save as JPEG first: IMG_1\.HEIC$"):
        find_photos(tmp_path)
    (tmp_path / "a.jpg").touch()
    (tmp_path / "notes.txt").touch()
    assert list(find_photos(tmp_path)) == ["a"]
    (line,) = caplog.messages
    assert line.startswith("left out: IMG_1.HEIC; save as JPEG first, as photos are files of the types .jpg")


def test_photos_of_one_stem_keep_their_types(tmp_path: Path) -> None:
    files = ["a.jpg", "a.jpg.webp", "a.png", "b.jpg", "b.x.jpg"]
    for name in files:
        (tmp_path / name).touch()
    photos = find_photos(tmp_path)
    assert list(photos) == ["a.jpg", "a.jpg.webp", "a.png", "b", "b.x"]
    assert [path.name for path in photos.values()] == files


@pytest.mark.parametrize(
    "files",
    [
        ["A.jpg", "a.jpg"],
        ["A.jpg", "a.png", "a.jpg"],
        ["caf\u00e9.jpg", "cafe\u0301.jpg"],
        ["STRASSE.jpg", "straße.jpg"],
        ["a\x01.jpg", "a\x02.jpg"],
        ["b" * 240 + "1.jpg", "b" * 240 + "2.jpg"],
        ["a\udce9.jpg", "a\udce8.jpg"],
        ["a.jpg", "A.jpg", "a.jpg~0123456789abcdef.png"],
    ],
)
def test_no_two_photos_have_names_that_some_file_system_takes_for_one(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < len(files):
        pytest.skip("this file system takes them for one")
    photos = find_photos(tmp_path)
    assert sorted(path.name for path in photos.values()) == sorted(files)
    folded = {unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold()) for name in photos}
    assert len(folded) == len(files)
    assert all(len(name.encode("utf-8")) <= 200 and Path(name).name == name for name in photos)
    assert find_photos(tmp_path) == photos


@pytest.mark.parametrize("name", ["Screen 1\u202fPM.jpg", "ü, é.jpg", "=1.jpg", "日本.jpg", "a..jpg"])
def test_other_names_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert list(find_photos(tmp_path)) == [name.removesuffix(".jpg")]


def test_one_photo_may_be_named_itself(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").touch()
    assert find_photos(tmp_path / "one.jpg") == {"one": tmp_path / "one.jpg"}


def test_where_there_is_no_photo_the_types_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"there is no photo in it; photos are files of the types .jpg, .jpeg, .png"):
        find_photos(tmp_path)
    with pytest.raises(DataError, match=r"notes.txt: is no photo; photos are files"):
        find_photos(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="there is no such folder or file"):
        find_photos(tmp_path / "nowhere")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3))
    # What a camera stores so that this orientation brings it back.
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(upright if stored is None else upright.transpose(stored), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_photo(path)), np.asarray(upright))


def test_a_dark_16_bit_photo_stays_dark_and_what_is_no_number_is_black(tmp_path: Path) -> None:
    dark = read_photo(save(Image.fromarray(np.full((2, 2), 1000, np.uint16)), tmp_path / "dark.png"))
    assert np.unique(np.asarray(dark)).tolist() == [round(1000 / 257)]
    broken = np.array([[np.nan, 1.0], [np.inf, -1.0]], np.float32)
    assert np.asarray(read_photo(save(Image.fromarray(broken), tmp_path / "a.tif")))[..., 0].tolist() == [[0, 255], [0, 0]]


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 51, 255]
    photo = read_photo(save(Image.fromarray(pixels), tmp_path / "a.png"))
    assert np.asarray(photo)[0, :, 0].tolist() == [255, 204, 0]


def test_an_unreadable_photo_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    whole = save(Image.fromarray(noise), tmp_path / "whole.png").read_bytes()
    for name, content in (("empty.jpg", b""), ("text.png", b"hello"), ("cut.png", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} cannot be read as an image"):
            read_photo(tmp_path / name)


@pytest.mark.parametrize(("channels", "size"), [(1, (40, 56)), (3, (40, 56)), (3, (32, 24))])
def test_the_network_sees_a_photo_as_it_sees_a_frame(tmp_path: Path, channels: int, size: tuple[int, int]) -> None:
    write_rooms(tmp_path, {"train": 2, "val": 1, "test": 1}, size)
    config = make_config(data_dir_NYU=tmp_path, input_shape=[32, 24], input_img_channels=channels)
    frame = build_dataset(config, "val")[0]
    seen = network_input(read_photo(tmp_path / "images" / f"{frame['name']}.jpg"), config)["image"]
    assert seen.shape == (channels, 32, 24)
    assert torch.equal(seen, frame["image"])
