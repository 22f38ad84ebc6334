"""Places in a folder where images and targets lie, by the names of its files and the cells of its tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from datasets.cache.frames import FOLDER as CACHE
from datasets.file_index import FileNames, Place, double_files, files_by_frame, named_after_frame
from datasets.folders import IMAGE_TYPES, MORE_TYPES, cells_of_frames, frame_name, own_names, read_frame_table
from datasets.images import read_array
from datasets.problems import refuse
from datasets.targets import unit_vectors
from settings.own_tasks import Images, is_reserved
from tasks.kinds import KINDS
from utils.console import listed
from utils.errors import DataError
from utils.files import evenly_spread

USUAL_NAMES = (
    *("images", "image", "imgs", "img", "photos", "photo", "pictures", "frames", "rgb", "color", "colour"),
    *("jpegimages", "leftimg8bit"),
)
"""Names that folders of images often have, in small letters."""
LOOKED_AT = 3
"""Files of a folder by which it is taken for images or not."""
TARGET_TYPES = tuple(sorted({*MORE_TYPES, *(kind for entry in KINDS.values() if entry.reader for kind in entry.file_types)}))
"""Types of the files of targets."""
DEPTH = 2
"""Levels of folders among which targets are looked for."""


@dataclass(frozen=True)
class Source:
    """A place with targets of one task: files of a folder, or a column of a table."""

    name: str
    """Name that the task gets."""
    folder: str = ""
    """Folder, from the root; empty: a column."""
    ending: str | None = None
    """End of its files' names, after the frame's; None: the type alone."""
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """Its files, per frame."""
    file: str = ""
    """Table, from the root."""
    column: str = ""
    """Column of the table."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """Texts of the cells that are not empty, per frame."""

    @property
    def frames(self) -> int:
        """Number of frames that have a target."""
        return len(self.files) or len(self.cells)

    @property
    def where(self) -> str:
        """The place, in words."""
        return f"{self.folder}/*{self.ending or ''}" if self.folder else f"{self.file}: {self.column}"


def find_images(root: Path, given: str | None) -> tuple[Images, dict[str, Path]]:
    """Return the section ``images`` of the configuration, and the image of each frame.

    Args:
        root: the folder of the data set.
        given: the folder of the images, from the root; None: the one that looks like it.

    Raises:
        DataError: there is none, or several may be it, or a frame has two images.
    """
    name = _folder_of_images(root) if given is None else given.rstrip("/")
    files = _images_in(root / name)
    if not files:
        raise DataError(f"{root / name}: there is no image (--images says in which folder of --data_dir they are)")
    refuse([problem for paths in files.values() for problem in double_files(paths)])
    return Images(folder=name), {frame: paths[0] for frame, paths in sorted(files.items())}


def shortened(root: Path, images: Mapping[str, Path], folder: str) -> tuple[Images, dict[str, Path]] | None:
    """Return the images under names without the end that all have, such as ``_rgb.png``; None if they have none."""
    files = [path.name for path in images.values()]
    end = _common_end(files)
    match = re.search(r"[_-][A-Za-z][A-Za-z0-9]*\.\w+$", end)
    if len(files) < 2 or match is None:
        return None
    place = Place(root / folder, own_names(match[0], IMAGE_TYPES), recursive=True)
    return Images(folder=folder, ending=match[0]), {frame: paths[0] for frame, paths in sorted(files_by_frame(place).items())}


def _common_end(texts: Sequence[str]) -> str:
    """Return the longest end that all texts share."""
    shortest = min(texts, key=len)
    return next(shortest[cut:] for cut in range(len(shortest) + 1) if all(text.endswith(shortest[cut:]) for text in texts))


def _images_in(folder: Path) -> dict[str, list[Path]]:
    return files_by_frame(Place(folder, named_after_frame(IMAGE_TYPES), recursive=True))


def _folder_of_images(root: Path) -> str:
    """Return the folder that looks most like images: photos before other pictures, then by its name, then JPEG files."""
    ranks: dict[str, tuple[bool, bool, bool]] = {}
    for folder in _folders(root):
        paths = [paths[0] for paths in _images_in(folder).values()]
        if paths:
            looks = [_is_photo(path) for path in evenly_spread(paths, LOOKED_AT)]
            jpeg = all(path.suffix.lower() in (".jpg", ".jpeg") for path in paths)
            ranks[folder.name] = (all(looks), folder.name.lower() in USUAL_NAMES, jpeg)
    best = [name for name, rank in ranks.items() if rank == max(ranks.values()) and any(rank)]
    if len(best) == 1:
        return best[0]
    if not ranks:
        raise DataError(f"--data_dir {root}: there is no folder of images in it")
    which = f"{listed(best)} all may be" if best else f"none of {listed(list(ranks))} looks like"
    raise DataError(f"--data_dir {root}: {which} the folder of the images; --images <folder> says which it is")


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != CACHE)


def _is_photo(path: Path) -> bool:
    """Return True for a picture in colour that does not show unit vectors."""
    try:
        array = read_array(path, exact=True)
    except DataError:
        return False
    if array.ndim != 3 or array.shape[2] not in (3, 4) or not array.size or (array == array[..., :1]).all():
        return False
    if array.dtype != np.uint8:
        return array.dtype.kind == "f" and bool(array.min() >= 0) and bool(array.max() <= 1)
    try:
        unit_vectors(array[..., :3], path)
    except DataError:
        return True
    return False


def find_sources(root: Path, images: str, frames: Collection[str]) -> tuple[list[Source], list[str]]:
    """Return the places with targets of these frames, and sentences about tables that were not read."""
    wanted = set(frames)
    folders: list[Source] = []
    columns: list[Source] = []
    notes = []
    for path in _folders(root):
        found = list(_in_folder(root, path, root / images, wanted, DEPTH))
        folders += found
        targets = any(file.suffix.lower() in TARGET_TYPES for file in path.rglob("*"))
        if targets and not found and root / images != path and path not in (root / images).parents:
            notes.append(f"{path.name}: its files are not called like the images")
    for path in sorted(path for pattern in ("*.csv", "*/*.csv") for path in root.glob(pattern)):
        if path.is_file() and not path.name.startswith(".") and path.parent.name != CACHE:
            try:
                columns += _in_table(root, path, wanted)
            except DataError as error:
                notes.append(str(error))
    taken: set[str] = set()
    return [_renamed(source, taken) for source in (*folders, *columns)], notes


def _in_folder(root: Path, folder: Path, images: Path, frames: Collection[str], depth: int) -> Iterator[Source]:
    """Yield a source per ending of the files in a folder that are called like frames; else those in its sub-folders."""
    if folder == images:
        return
    ends: dict[str | None, dict[str, list[Path]]] = {}
    count = 0
    for text, (path,) in sorted(files_by_frame(Place(folder, FileNames(str, str), recursive=True)).items()):
        if path.suffix.lower() not in TARGET_TYPES:
            continue
        count += 1
        frame, end = _split(text, frames)
        if frame:
            ending = None if end.lower() in TARGET_TYPES else end
            ends.setdefault(ending, {}).setdefault(frame, []).append(path)
    if 2 * sum(len(paths) for files in ends.values() for paths in files.values()) < max(count, 1):
        for below in _folders(folder) if depth > 1 else ():
            yield from _in_folder(root, below, images, frames, depth - 1)
        return
    place = folder.relative_to(root).as_posix()
    for ending, files in sorted(ends.items(), key=lambda item: item[0] or ""):
        name = place if len(ends) == 1 or ending is None else f"{place}_{ending.partition('.')[0]}"
        yield Source(name, folder=place, ending=ending, files=files)


def _split(text: str, frames: Collection[str]) -> tuple[str, str]:
    """Return the longest frame with which a file's name begins, and what follows it; two empty texts if there is none."""
    for cut in range(len(text) - 1, 0, -1):
        if text[cut] == "/":
            break
        if not text[cut].isalnum() and text[:cut] in frames:
            return text[:cut], text[cut:]
    return "", ""


def _in_table(root: Path, path: Path, frames: Collection[str]) -> Iterator[Source]:
    """Yield a source per column of a table whose first column names frames."""
    table = read_frame_table(path)
    names = [cell.strip() for cell in table.iloc[:, 0] if cell.strip()]
    file = path.relative_to(root).as_posix()
    if 2 * sum(name in frames or frame_name(name, frames) in frames for name in names) < max(len(names), 1):
        raise DataError(f"{file}: its first column does not name the images")
    for column in map(str, table.columns[1:]):
        cells = {frame: cell for _, frame, cell in cells_of_frames(table, column, frames) if cell}
        if cells:
            yield Source(column, file=file, column=column, cells=cells)


def _renamed(source: Source, taken: set[str]) -> Source:
    """Return the source under a name that a task may have and none has."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", source.name).strip("_")[:50]
    first = words if words[:1].isalpha() else f"task_{words}".rstrip("_")
    names = (first, *(f"{first}_{number}" for number in range(2, 10**6)))
    name = next(name for name in names if name.lower() not in taken and not is_reserved(name))
    taken.add(name.lower())
    return replace(source, name=name)
