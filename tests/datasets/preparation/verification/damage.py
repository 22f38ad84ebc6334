"""Ways to damage a file, and verifying without starting processes."""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from datasets.preparation import verify
from datasets.preparation.verification.files import Content, File
from datasets.preparation.verification.survey import survey_folder
from datasets.problems import Problem

Damage = Callable[[Path], object]


def problems_in(root: Path) -> list[Problem]:
    """The rows of the table; paths are relative to the folder."""
    survey = survey_folder(root)
    with mock.patch.object(verify, "in_processes", in_this_process):
        verify.examine_files(survey, 1)
    return sorted({row._replace(path=str(Path(row.path).relative_to(root))) for row in survey.problems})


def in_this_process(work: Callable[[File], Content], files: Sequence[File], *_: object) -> Iterator[Content]:
    """As ``in_processes``, without the seconds that processes take to start."""
    return map(work, files)


def cut(share: float) -> Damage:
    """Keep the first part of a file only."""
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def array(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Change the array in a .npy file, or in an image."""

    def damage(path: Path) -> None:
        if path.suffix == ".npy":
            np.save(path, change(np.load(path)))
        else:
            with Image.open(path) as image:
                values = np.array(image)
            Image.fromarray(change(values)).save(path)

    return damage


def put(value: float, *place: int | slice) -> Damage:
    """Replace a value of an array."""

    def change(values: np.ndarray) -> np.ndarray:
        values[place] = value
        return values

    return array(change)


def folder_instead(path: Path) -> None:
    """A folder with the name of a file."""
    path.unlink()
    path.mkdir()


def grey_palette(path: Path) -> None:
    """Even labels, with a palette of the greys that occur, as programs that shrink PNG files write it."""
    with Image.open(path) as image:
        labels = np.array(image) // 2 * 2
    greys, numbers = np.unique(labels, return_inverse=True)
    small = Image.fromarray(numbers.reshape(labels.shape).astype(np.uint8))
    small.putpalette(np.repeat(greys[:, None], 3, axis=1).ravel().tolist())
    small.save(path)


def few_bits(path: Path) -> None:
    """A grey PNG of 4 bits per pixel, all of them 2: PIL says 34."""
    with Image.open(path) as image:
        width, height = image.size
    rows = b"".join(b"\0" + b"\x22" * (width // 2) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def wrong_checksum(path: Path) -> None:
    """Another checksum of a PNG's pixels; decoding does not look at it."""
    content = bytearray(path.read_bytes())
    content[content.rindex(b"IEND") - 5] ^= 1
    path.write_bytes(content)


def replace_text(old: str, new: str) -> Damage:
    """Replace a part of a text file."""

    def damage(path: Path) -> None:
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    return damage


def append(text: str) -> Damage:
    """Lines at the end of a text file."""
    return lambda path: path.write_text(path.read_text() + text)
