"""Survey of a folder: the files that the loaders would read, and the faults of its lists and text files, line by line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from datasets import celeba, mtan, nyu
from datasets.base import MultiTaskDataset
from datasets.file_index import Place, double_files, files_by_frame
from datasets.images import read_array
from datasets.plausibility import LOOKED_AT, facts_of, labels_by_look
from datasets.preparation.verification.files import File, refusal
from datasets.preparation.workspace import BEGUN, MANIFEST, read_object, read_recipe
from datasets.problems import Problem
from datasets.splits import ROLES, split_problems
from tasks.data_sets import DATA_SETS, DataSet, LabelSet
from tasks.table import Task, tasks_of
from utils.errors import DataError
from utils.files import evenly_spread, is_unfinished

T = TypeVar("T")


@dataclass
class Survey:
    """Contents of a folder, as far as lists of files and small text files say them."""

    layout: str
    """In words."""
    data_set: DataSet
    tasks: dict[str, Task]
    """The tasks that the files are of, by name."""
    loader: type[MultiTaskDataset]
    counts: dict[str, int] = field(default_factory=dict)
    """Frames per split."""
    splits: dict[str, list[str]] = field(default_factory=dict)
    """Their names, of your own data."""
    labelled: dict[str, int] = field(default_factory=dict)
    """Frames that have a target of a task, where a frame may lack some."""
    targets: list[str] = field(default_factory=list)
    """Targets in the folder, in words."""
    files: list[File] = field(default_factory=list)
    unused: int = 0
    """Images in no split."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, problem: str, expected: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(str(path), problem, expected))

    def read(self, reader: Callable[[Path], tuple[T, list[Problem]]], path: Path) -> T | None:
        """Return the contents of a text file and note its problems; None if it cannot be read at all."""
        try:
            content, problems = reader(path)
        except DataError as error:
            self.problems.append(refusal(path, error, "a text file"))
            return None
        self.problems += problems
        return content

    def add_frames(self, frames: Mapping[str, Path], places: Mapping[str | None, Place]) -> None:
        """Add the files of frames, each with the list or the folder that says that it is there."""
        files = {what: files_by_frame(place) for what, place in places.items()}
        for what, place in places.items():
            types = sorted({path.suffix.lower() for paths in files[what].values() for path in paths})
            said = f"{place.folder.name} ({', '.join(types)})"
            if what is not None and said not in self.targets:
                self.targets.append(said)
        self.unused += len(files[None].keys() - frames.keys())
        for frame, source in frames.items():
            if not any(frame in paths for paths in files.values()):
                self.add(source, f"names the frame {frame}, which is not there", "frames that are there")
                continue
            image = next(iter(files[None].get(frame, ())), None)
            for what, place in places.items():
                paths = files[what].get(frame, [])
                self.problems += double_files(paths)
                self.files += [File(path, what, image if what is not None else None) for path in paths[:1]]
                if not paths and not (self.loader.partial and what is not None):
                    self.add(
                        place.folder / place.names.usual(frame), "is missing", f"a file, as {source.name} has frame {frame}"
                    )


def survey_folder(root: Path, data_set: DataSet | None = None) -> Survey:
    """Return what the folder holds, by its layout.

    Args:
        root: the folder.
        data_set: whose files they are; None: of the first data set that has this layout.

    Raises:
        DataError: it is no data set, or none of the layout of ``data_set``.
    """
    if not root.is_dir():
        raise DataError(f"--data_dir {root}: there is no such folder")
    layout = _layout_of(root)
    if layout is None:
        below = [path for path in sorted(root.iterdir()) if path.is_dir() and _layout_of(path) is not None]
        hint = f"; did you mean {below[0]}?" if below else ""
        looked_for = ", ".join(f"{name} ({files})" for name, (files, _) in LAYOUTS.items())
        own = f"; of your own data, `prepare_data.py describe --data_dir {shlex.quote(str(root))}` writes a configuration"
        raise DataError(
            f"--data_dir {root}: is no data set; looked for {looked_for}{hint or f'{own}, and verify takes it as --config_exp'}"
        )
    if data_set is not None and data_set.layout != layout:
        raise DataError(f"--dataset {data_set.name}: has the layout {data_set.layout}, and {root} has the layout {layout}")
    survey = LAYOUTS[layout][1](root, data_set or data_sets_of(layout)[0])
    if not survey.targets:
        survey.add(root, "has no targets", "folders or files of targets, such as segmentation, depth, label or masks")
    _check_manifest(root, survey)
    check_leftovers(root, survey)
    return survey


def data_sets_of(layout: str) -> list[DataSet]:
    """Return the data sets whose files lie in this layout."""
    return [data_set for data_set in DATA_SETS.values() if data_set.layout == layout]


def _layout_of(root: Path) -> str | None:
    """Return the layout of a folder: an entry of ``LAYOUTS``."""
    if (root / nyu.LISTS).is_dir() and (root / nyu.IMAGES).is_dir():
        return "NYUD_MT"
    if (root / celeba.IMAGES).is_dir():
        return "CelebAMask-HQ"
    return "MTAN" if any((root / split / mtan.IMAGES).is_dir() for split in ROLES) else None


def survey_nyud_mt(root: Path, data_set: DataSet) -> Survey:
    """List the frames of all lists in ``gt_sets``, with their images and every kind of target that has a folder."""
    survey = Survey(f"{data_set.title} in the NYUD_MT layout", data_set, tasks_of(data_set), nyu.NYUDataset)
    folder = root / nyu.LISTS
    lists = files_by_frame(Place(folder, nyu.LIST_FILES))
    splits: dict[str, list[str]] = {}
    for split, files in lists.items():
        survey.problems += double_files(files)
        names = survey.read(nyu.read_list, files[0])
        if names is not None:
            splits[split] = names
    if "train" not in lists:
        survey.add(folder / "train.txt", "is missing", "the frames for training, one per line")
    if not lists.keys() & {"val", "test"}:
        survey.add(folder / "test.txt", "is missing, and so is val.txt", "the frames for testing, one per line")
    survey.problems += split_problems(splits, {split: files[0] for split, files in lists.items()})
    survey.counts = {split: len(names) for split, names in splits.items()}
    tasks = [task for task in survey.tasks.values() if (root / task.place).is_dir()]
    frames = {name: lists[split][0] for split in reversed(splits) for name in splits[split]}
    survey.add_frames(frames, nyu.nyu_places(root, tasks))
    return survey


def survey_mtan(root: Path, data_set: DataSet) -> Survey:
    """List the frames of every split, by all their files, with every kind of target that has a folder."""
    survey = Survey("NYU-v2 in MTAN's layout", data_set, tasks_of(data_set), mtan.MTANDataset)
    splits = [split for split in ROLES if (root / split).is_dir()]
    tasks = [task for task in survey.tasks.values() if any((root / split / task.place).is_dir() for split in splits)]
    for split in splits:
        numbers, problems = mtan.list_frames(root / split / mtan.IMAGES)
        survey.problems += problems
        survey.counts[split] = len(numbers)
        places = mtan.mtan_places(root / split, tasks)
        frames = {frame: root / split for place in places.values() for frame in files_by_frame(place)}
        survey.add_frames(frames, places)
    if not (root / "train").is_dir():
        survey.add(root / "train", "is missing", "the frames for training")
    if splits == ["train"]:
        survey.add(root / "val", "is missing", "the frames for testing")
    return survey


def survey_celebamask(root: Path, data_set: DataSet) -> Survey:
    """List the faces of all splits that the folder knows, with their images, masks and attributes."""
    survey = Survey(data_set.title, data_set, tasks_of(data_set), celeba.CelebAMaskHQ)
    sources = _celeba_splits(root, survey)
    names = {name: path for path, splits in sources.items() for members in splits.values() for name in members}
    places = celeba.celeba_places(root, survey.tasks.values())
    if not sources:
        # Without any list of faces, all are looked at that are there.
        names = dict.fromkeys(files_by_frame(places[None]), root / celeba.IMAGES)
    survey.add_frames(names, {what: place for what, place in places.items() if place.folder.is_dir()})
    if survey.targets:
        masks = next(task for task in survey.tasks.values() if task.is_dense)
        labels, how = _labels(root, masks, [file.path for file in survey.files if file.task is not None])
        survey.tasks[masks.name] = replace(masks, labels=labels)
        survey.targets = [f"{target[:-1]}, {len(labels.classes)} classes{how})" for target in survey.targets]
    attributes = root / celeba.ATTRIBUTE_FILE
    if attributes.exists():
        survey.targets.append("attributes")
        rows = survey.read(partial(celeba.attribute_lines, columns=data_set.attributes), attributes)
        if rows is not None:
            survey.problems += celeba.missing_attributes(attributes, rows, names)
    return survey


LAYOUTS: dict[str, tuple[str, Callable[[Path, DataSet], Survey]]] = {
    "NYUD_MT": ("gt_sets and images", survey_nyud_mt),
    "CelebAMask-HQ": ("CelebA-HQ-img", survey_celebamask),
    "MTAN": ("train/image, val/image", survey_mtan),
}
"""The layouts that a folder may have: by what one knows it, and what lists its frames."""


def _celeba_splits(root: Path, survey: Survey) -> dict[Path, dict[str, list[str]]]:
    """Return the faces per split, per file that lists them: the mapping file and JSON files of names."""
    mapping = root / celeba.MAPPING_FILE
    readers = {mapping: celeba.read_mapping} if mapping.exists() else {}
    known = {name for names in celeba.SPLIT_NAMES.values() for name in names}
    for path in sorted(root.glob("*.json")):
        keys = {key.lower() for key in _if_text(read_object, path)}
        if path.name != MANIFEST and (not keys or keys & known):  # else it is about something else
            readers[path] = celeba.read_split_file
    splits_of: dict[Path, dict[str, list[str]]] = {}
    for path, reader in readers.items():
        splits = survey.read(reader, path)
        if splits is not None:
            splits_of[path] = splits
            survey.problems += celeba.face_split_problems(splits, path)
    if not splits_of and not mapping.exists():
        survey.add(mapping, "is missing", "the split of CelebAMask-HQ, or a JSON file of names per split")
    if splits_of:
        survey.counts = {split: len(members) for split, members in next(iter(splits_of.values())).items()}
    return splits_of


def _labels(root: Path, task: Task, masks: list[Path]) -> tuple[LabelSet, str]:
    """Return the masks' label set, and how it is known: as the manifest says, or else as most masks have it."""
    prepared = {len(labels.classes): labels for labels in task.label_sets}
    classes = _if_text(read_recipe, root / MANIFEST).get("classes")
    if classes in prepared:
        return prepared[classes], ""
    present = []
    for path in evenly_spread(masks, LOOKED_AT):
        with suppress(DataError):
            present.append(facts_of(task, read_array(path), path).labels)
    return labels_by_look(task, present), ", by the look of them"


def _if_text(read: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any]:
    """Return what a file says; nothing if it is no text, which is noted elsewhere."""
    try:
        return read(path)
    except DataError:
        return {}


def _check_manifest(root: Path, survey: Survey) -> None:
    """Compare the splits with the numbers of frames that the set was prepared with."""
    path, written = root / MANIFEST, "the JSON object that the preparation wrote"
    try:
        facts = read_object(path)
    except DataError as error:
        survey.problems.append(refusal(path, error, written))
        return
    if path.exists() and not facts:
        survey.add(path, "cannot be read", written)
    counts = facts.get("counts", facts.get("splits"))
    for split, count in counts.items() if isinstance(counts, dict) else ():
        counted = survey.counts.get(split, 0)
        if counted != count:
            survey.add(path, f"number of frames in {split}: {counted}", f"{count}, as it says")


def check_leftovers(root: Path, survey: Survey) -> None:
    """Note temporary files of a process that was killed, and a preparation that has not come to its end."""
    for folder, folders, names in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if is_unfinished(path):
                survey.add(path, "is temporary, and was never finished", "nothing: remove it, unless a preparation is running")
        folders[:] = [name for name in folders if not is_unfinished(Path(name))]
    if (root / BEGUN).exists() and not (root / MANIFEST).exists():
        survey.add(root / BEGUN, "the preparation of this set was not finished", "the same command again, which goes on")
