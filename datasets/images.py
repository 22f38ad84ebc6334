"""Files as pixels and arrays: the one reader of frames, faces, photos and targets, whatever type of file they come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy.io import loadmat

from utils.errors import DataError, reason

GREY, TRUE_COLOUR = 0, 2
"""Colour types of a PNG."""
TOLERANCE = 1e-3
"""Distance to which resizing with overshoot may have taken the floats of an image out of [0, 1]."""


def read_photo(path: Path) -> Image.Image:
    """Read an image file as an RGB picture, upright as its EXIF data says.

    Grey values of 16 bits and of floats are scaled to 8 bits (65535 is white), of 16 bits per colour PIL keeps the upper
    eight; transparent pixels lie on white.

    Raises:
        DataError: the file cannot be read.
    """
    return _as_rgb(open_image(path))


def read_picture(path: Path) -> Image.Image:
    """Read the picture of a frame, an image file or a .npy file, as an RGB picture.

    Raises:
        DataError: the file cannot be read, or the array is no picture.
    """
    if path.suffix.lower() != ".npy":
        return read_photo(path)
    array, expected = read_array(path), "expected (height, width, 3), floats in [0, 1] or uint8"
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(f"{path} has the shape {array.shape}; {expected}")
    if array.dtype != np.uint8:
        lowest, highest = array.min(), array.max()
        if array.dtype.kind != "f" or not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):
            raise DataError(f"{path} has values from {lowest:g} to {highest:g} ({array.dtype}); {expected}")
        array = np.rint(255 * np.clip(array, 0, 1)).astype(np.uint8)
    return Image.fromarray(array)


def open_image(path: Path) -> Image.Image:
    """Decode an image file, upright as its EXIF data says, in the mode that it has.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            image.load()
            image.info["pages"] = getattr(image, "n_frames", 1)  # which a closed image does not know
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


def read_array(path: Path, exact: bool = False) -> np.ndarray:
    """The array in an image, .npy or .mat file (of a .mat file: its one array, or the one called like the folder).

    An image with a palette is read as its colours, or with ``exact`` as the numbers that are stored; then an image is refused
    whose numbers would be changed.
    """
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".mat":
            # MATLAB stores floats that happen to be whole as integers; mat_dtype gives what they are.
            arrays = {key: value for key, value in loadmat(path, mat_dtype=True).items() if not key.startswith("__")}
            if len(arrays) > 1 and path.parent.name not in arrays:
                raise DataError(f"{path} holds {', '.join(arrays)}; expected one array, or one called {path.parent.name}")
            array = arrays.get(path.parent.name, next(iter(arrays.values()), None))
        else:
            array = _image_array(path, exact)
    except DataError:
        raise
    except Exception as error:  # scipy and numpy raise half a dozen types for a broken file
        raise DataError(f"{path} cannot be read ({reason(error)})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":  # np.load takes any archive for several arrays
        raise DataError(f"{path} holds no array of numbers")
    return array


def _image_array(path: Path, exact: bool) -> np.ndarray:
    """The pixels of an image as they are stored.

    Programs that shrink PNG files turn grey images into such with a palette or with fewer bits; pictures stay the same,
    labels do not: a pixel is read as its place in the palette, or scaled up to 8 bits.

    Raises:
        DataError: the stored numbers are not the labels that were meant.
    """
    image = open_image(path)
    if not exact:
        return np.array(image.convert("RGB") if image.mode == "P" else image)
    bits, colour_type = png_header(path) if image.format == "PNG" else (8, GREY)
    if colour_type == GREY and bits < 8:
        raise DataError(
            f"{path} is a grey image of {bits} bit{'s' * (bits > 1)}, whose values are scaled when they are read; expected a "
            "grey image of 8 bits"
        )
    if bits == 16 and colour_type != GREY:
        raise DataError(f"{path} has colours of 16 bits, of which only 8 are read; expected a .npy file, or a grey image each")
    if image.info["pages"] > 1:
        raise DataError(f"{path} has {image.info['pages']} pages; expected one")
    array = _as_tagged(image)
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or []).reshape(-1, 3)
        used = np.flatnonzero(np.bincount(array.ravel(), minlength=256))
        used = used[used < len(palette)]
        greys = palette[used, 0]
        if (palette[used] == greys[:, None]).all() and (greys != used).any():
            wrong = np.flatnonzero(greys != used)[0]
            raise DataError(
                f"{path} has a palette of greys: {greys[wrong]} is stored as number {used[wrong]} and read as that; expected a "
                "grey image of 8 bits, or a palette whose numbers are the labels"
            )
    return array


def _as_tagged(image: Image.Image) -> np.ndarray:
    """The pixels of an image; of a TIFF as the whole numbers that its tags say, which PIL reads with or without a sign."""
    array = np.array(image)
    if image.format != "TIFF":
        return array
    bits, form = (image.tag_v2.get(tag, (default,)) for tag, default in ((258, 8), (339, 1)))  # type: ignore[attr-defined]
    kind = {1: np.uint32 if bits[0] == 32 else None, 2: np.int8 if bits[0] == 8 else None}.get(form[0])
    return array if kind is None or array.dtype.itemsize != np.dtype(kind).itemsize else array.view(kind)
