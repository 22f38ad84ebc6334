"""Image files as pixels: the one reader of frames, faces, photos, and of targets that come as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from utils.errors import DataError

GREY, TRUE_COLOUR = 0, 2
"""Colour types of a PNG."""


def read_photo(path: Path) -> Image.Image:
    """Read an image file as an RGB picture, upright as its EXIF data says.

    Grey values of 16 bits and of floats are scaled to 8 bits (65535 is white), of 16 bits per colour PIL keeps the upper
    eight; transparent pixels lie on white.

    Raises:
        DataError: the file cannot be read.
    """
    return _as_rgb(open_image(path))


def open_image(path: Path) -> Image.Image:
    """Decode an image file, upright as its EXIF data says, in the mode that it has.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.format == "PNG" and isinstance(image.info.get("transparency"), int | tuple):
                image.info["transparency"] = _scaled_colour(image.info["transparency"], *png_header(path))
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except Exception as error:  # PIL raises half a dozen types for a broken file
        raise DataError(f"{path} cannot be read as an image ({error})") from error


def channels(picture: Image.Image, grey: bool) -> np.ndarray:
    """The pixels of an RGB picture as uint8 (3, H, W), or (1, H, W) if ``grey``."""
    if grey:
        return np.array(picture.convert("L"))[None]
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def png_header(path: Path) -> tuple[int, int]:
    """Bits per sample and colour type of a PNG file."""
    with path.open("rb") as file:
        bits, colour_type = file.read(26)[24:]
    return bits, colour_type


def _scaled_colour(colour: int | tuple[int, ...], bits: int, colour_type: int) -> int | tuple[int, ...]:
    """The transparent colour of a PNG, scaled as PIL scales the pixels."""
    if isinstance(colour, int):
        return colour * (255 // (2**bits - 1)) if colour_type == GREY and bits in (2, 4) else colour
    return tuple(value >> 8 for value in colour) if colour_type == TRUE_COLOUR and bits == 16 else colour


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # PIL's own conversion cuts everything above 255 off.
        values = np.array(image)
        pixels = _eight_bits(values)
        if isinstance(image.info.get("transparency"), int):
            pixels[values == image.info["transparency"]] = 255
        return Image.fromarray(pixels).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """(H, W) integers of 16 or 32 bits, or floats, as uint8. White is 65535, or where the type does not say it, the first of
    1 (floats), 255 and 65535 that no value exceeds (by more than 1 %, as resizing may)."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0, neginf=0)
    largest = values.max()
    if grey.dtype.itemsize == 2:
        white = 65535.0
    else:
        ranges = (1.0, 255.0, 65535.0) if grey.dtype.kind == "f" else (255.0, 65535.0)
        white = next((white for white in ranges if largest <= 1.01 * white), largest)
    return np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)
