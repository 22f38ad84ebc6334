"""One reader of pixels: a frame is the picture that was meant, whatever the file's mode, bits, transparency and orientation."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.images import read_photo
from datasets.loaders import build_dataset
from datasets.preparation.face_parts import IMAGES, write_face
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.frames import write_celeba, write_nyu
from tests.datasets.preparation.official_faces import write_face_files
from utils.errors import DataError

SIZE = (16, 16)
RAMP = np.arange(256, dtype=np.uint8).reshape(SIZE)
GREY = np.repeat(RAMP[..., None], 3, axis=-1)


def config(root: Path, **values: object) -> ExperimentConfig:
    """One task of a NYU-v2 whose frames are ``SIZE``."""
    return make_config(data_dir_NYU=root, task_list=["depth_euclidean"], input_shape=list(SIZE), **values)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    """The content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes, *transparent: int) -> bytes:
    """A PNG of the given packed rows, in which one colour is transparent."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    length = len(rows) // height
    data = b"".join(b"\0" + rows[at : at + length] for at in range(0, len(rows), length))
    colour = chunk(b"tRNS", b"".join(struct.pack(">H", value) for value in transparent))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colour + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def half_transparent(mode: str) -> bytes:
    """The left half opaque, the right half transparent, over colours that nobody is to see."""
    pixels = np.concatenate([GREY, np.full((*SIZE, 1), 255, np.uint8)], axis=-1)
    pixels[:, 8:, 3] = 0
    return save(Image.fromarray(pixels).convert(mode), "PNG")


def palette_with_transparency() -> bytes:
    image = Image.fromarray(RAMP).convert("P")
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1).tobytes())
    return save(image, "PNG", transparency=7)


RIGHT_HALF_WHITE = GREY.copy()
RIGHT_HALF_WHITE[:, 8:] = 255
SEVEN_IS_WHITE = np.where(GREY == 7, 255, GREY).astype(np.uint8)

PICTURES: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "16-bit grey": (lambda: save(Image.fromarray(RAMP.astype(np.uint16) * 257), "PNG"), GREY),
    "16-bit grey, other byte order": (
        lambda: save(Image.fromarray((RAMP.astype(np.uint16) * 257).astype(">u2")), "TIFF"),
        GREY,
    ),
    "32-bit grey": (lambda: save(Image.fromarray(RAMP.astype(np.int32) * 257), "TIFF"), GREY),
    "floats": (lambda: save(Image.fromarray(RAMP / np.float32(255)), "TIFF"), GREY),
    "floats up to 255": (lambda: save(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), GREY),
    "1 bit": (lambda: save(Image.fromarray(RAMP > 99), "PNG"), np.where(GREY > 99, 255, 0).astype(np.uint8)),
    "LA": (lambda: half_transparent("LA"), RIGHT_HALF_WHITE),
    "RGBA": (lambda: half_transparent("RGBA"), RIGHT_HALF_WHITE),
    "palette with a transparent entry": (palette_with_transparency, SEVEN_IS_WHITE),
    "grey with a transparent value": (lambda: png(16, 16, 8, 0, RAMP.tobytes(), 7), SEVEN_IS_WHITE),
    "RGB with a transparent colour": (lambda: png(16, 16, 8, 2, GREY.tobytes(), 7, 7, 7), SEVEN_IS_WHITE),
    "16-bit grey with a transparent value": (
        lambda: png(16, 16, 16, 0, (RAMP.astype(">u2") * 257).tobytes(), 7 * 257),
        SEVEN_IS_WHITE,
    ),
    "16-bit RGB with a transparent colour": (
        lambda: png(16, 16, 16, 2, (GREY.astype(">u2") * 257).tobytes(), *[7 * 257] * 3),
        SEVEN_IS_WHITE,
    ),
    "CMYK": (
        lambda: save(Image.fromarray(GREY).convert("CMYK"), "TIFF"),
        np.asarray(Image.fromarray(GREY).convert("CMYK").convert("RGB")),
    ),
}


@pytest.mark.parametrize(("kind", "channels"), [*((kind, 3) for kind in PICTURES), ("RGBA", 1)])
def test_a_frame_is_the_picture_that_a_photo_is(kind: str, channels: int, tmp_path: Path) -> None:
    """A decoder goes by a file's content, so that any of them may be called .png."""
    make, expected = PICTURES[kind]
    write_nyu(tmp_path, types={"images": "png"}, size=SIZE)
    path = tmp_path / "images" / "b0.png"
    path.write_bytes(make())
    np.testing.assert_array_equal(np.asarray(read_photo(path)), expected)
    frame = build_dataset(config(tmp_path, input_img_channels=channels), "val")[0]["image"]
    wanted = torch.from_numpy(expected.copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(frame, wanted if channels == 3 else wanted[:1], rtol=0, atol=1e-6)


def test_a_transparent_value_of_few_bits_is_scaled_as_the_pixels_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(4, 1, 2, 0, bytes([0b00011011]), 1))
    assert np.asarray(read_photo(path))[0, :, 0].tolist() == [0, 255, 170, 255]
    path.write_bytes(png(2, 1, 4, 0, bytes([0x3A]), 3))
    assert np.asarray(read_photo(path))[0, :, 0].tolist() == [255, 170]


def rotated(path: Path, upright: np.ndarray) -> None:
    """A camera on its side stores turned pixels, and a note how to turn them back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    image.save(
        path,
        format="PNG" if path.suffix == ".png" else "JPEG",
        exif=exif,
        **({"quality": 100} if path.suffix == ".jpg" else {}),
    )


def test_a_frame_stands_upright_and_its_targets_are_those_of_the_upright_one(tmp_path: Path) -> None:
    frame = write_nyu(tmp_path, types={"images": "png"}, size=(16, 20))["b0"]
    path = tmp_path / "images" / "b0.png"
    rotated(path, frame["images"])
    with Image.open(path) as stored:
        assert (stored.height, stored.width) == (20, 16)
    sample = build_dataset(config(tmp_path).with_values(input_shape=[16, 20]), "val")[0]
    torch.testing.assert_close(sample["image"], torch.from_numpy(frame["images"]).permute(2, 0, 1) / 255, rtol=0, atol=1e-6)
    np.save(tmp_path / "depth" / "b0.npy", frame["depth"].T)  # as the file lies on its side
    with pytest.raises(DataError, match=r"depth/b0\.npy is \(20, 16\) \(height, width\), but .*b0\.png is \(16, 20\)"):
        build_dataset(config(tmp_path), "val")[0]


def test_a_label_image_stands_upright_too(tmp_path: Path) -> None:
    frame = write_nyu(tmp_path, size=(16, 20))["b0"]
    rotated(tmp_path / "segmentation" / "b0.png", frame["segmentation"])
    sample = build_dataset(config(tmp_path).with_values(task_list=["segmentsemantic"], input_shape=[16, 20]), "val")[0]
    expected = np.where(frame["segmentation"] == 0, 255, frame["segmentation"].astype(int) - 1)
    np.testing.assert_array_equal(sample["targets"]["segmentsemantic"], expected)


def test_the_mask_of_a_face_lies_in_the_upright_image(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:8] = 255  # the top is bright
    rotated(tmp_path / "CelebA-HQ-img" / "2.jpg", upright)
    mask = np.zeros((16, 16), np.uint8)
    mask[:4] = 1
    np.save(tmp_path / "CelebA-HQ-segmask" / "00002_mask.npy", mask)
    faces = make_config(dataset_name="celebA", data_dir_celebA=tmp_path, task_list=["segmentsemantic"], input_shape=[32, 32])
    dataset = build_dataset(faces, "val")
    sample = dataset[dataset.names.index("2")]
    bright = sample["image"].mean(dim=0) > 0.5
    assert torch.equal(bright, sample["targets"]["segmentsemantic"] == 1)


def test_a_prepared_face_is_the_upright_one(tmp_path: Path) -> None:
    write_face_files(tmp_path, 7, {})
    upright = np.zeros((1024, 1024, 3), np.uint8)
    upright[:256] = 255
    rotated(tmp_path / IMAGES / "7.jpg", upright)
    for folder in (IMAGES, "CelebA-HQ-segmask"):
        (tmp_path / "out" / folder).mkdir(parents=True)
    write_face(tmp_path, tmp_path / "out", 32, 3, (7, tmp_path / IMAGES / "7.jpg", ()))
    small = np.asarray(read_photo(tmp_path / "out" / IMAGES / "7.jpg"))
    assert small[:7].min() > 200 and small[9:].max() < 50
