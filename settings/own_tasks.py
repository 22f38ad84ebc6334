"""Tasks of the user's own data: the section ``tasks`` of the configuration, and what it means."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from settings.nature import about
from settings.sections import Bool, Int, Number, OneOf, Schema, Section, SeveralForms, Share, Text
from tasks.data_sets import LabelSet
from tasks.kinds import KINDS, WHOLE_IMAGE
from tasks.table import IGNORE_INDEX, SEGMENTATION_LOSSES, Task, make_task

RESERVED = ("total", "overview", "singles", "pairs", "all")
"""Names that mean something else in the files of a trial, of predictions or of a study."""
TORCH_NAMES = (
    "T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double "
    "dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu "
    "items keys load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters "
    "pop register_backward_hook register_buffer register_forward_hook register_forward_pre_hook "
    "register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook "
    "register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook "
    "register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty "
    "train type update values xpu zero_grad"
).split()
"""Names that torch's module of the heads has for its own attributes."""
LARGEST_NUMBER = 2**20
"""Largest number of a class in the files; most have one byte."""
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def kinds_with(key: str) -> list[str]:
    """Return the kinds whose tasks have a key, such as ``folder``: their targets may lie in files."""
    return [name for name, kind in KINDS.items() if key in kind.keys]


def is_reserved(name: str) -> bool:
    """Return True if a task's name would mean something else, here, in torch or in Python."""
    return name in RESERVED or name in TORCH_NAMES or keyword.iskeyword(name)


def _no_path_upwards(value: str) -> str:
    if value.startswith(("/", "~")) or ".." in value.split("/"):
        raise ValueError("expected a place below data_dir")
    return value


def _numbered(value: Any) -> Any:
    """Return a mapping in the order of its keys, numbers, which are texts in files of JSON."""
    if not isinstance(value, Mapping):
        return value
    keys = {key: int(key) if isinstance(key, str) and re.fullmatch(r"-?\d+", key) else key for key in value}
    numbered = {number: value[key] for key, number in keys.items()}
    return dict(sorted(numbered.items())) if all(type(number) is int for number in numbered) else numbered


Below = Annotated[Text, AfterValidator(_no_path_upwards)]


class OwnTask(Schema):
    """One thing to predict, and where its targets are."""

    kind: Annotated[str, OneOf(KINDS)]
    """Kind of its targets."""
    folder: Below | None = None
    """Folder below `data_dir` with a file per frame, called like it."""
    ending: Text | None = None
    """End of the files' names, after the frame's, such as `_labels.png`; none: any type that the kind may have."""
    file: Below | None = None
    """CSV file below `data_dir` whose first column has the names of the frames."""
    column: Text | None = None
    """Column of that file; an empty cell is a missing label."""
    classes: Annotated[tuple[Text, ...] | dict[Int, Text] | None, BeforeValidator(_numbered), SeveralForms] = None
    """Names of the classes: a list, whose numbers in the files count from 0, or `{number: name}`."""
    ignore: Annotated[tuple[Int, ...] | Literal["others"], SeveralForms] = (IGNORE_INDEX,)
    """Numbers of unlabelled pixels; `others`: all that are no class's."""
    unit: Text | None = None
    """Unit of the numbers, for tables and figures."""
    scale: Annotated[Number, Field(gt=0)] = 1.0
    """Factor from the numbers in the files to that unit (depth: to metres)."""
    offset: Number = 0.0
    """What is added after that."""
    invalid: tuple[Annotated[Number | Literal["nan", "inf", "-inf"], SeveralForms], ...] = ()
    """Numbers in the files that stand for an unknown value, before `scale`; `nan` may be one."""
    range: Annotated[Number, Field(gt=0)] = 10.0
    """Largest depth, in metres: a file with more is refused, and `depth_target: metric` predicts up to it."""
    channels: Annotated[Int, Field(ge=1)] = 1
    """Numbers per pixel: the last dimension of the files' arrays."""
    mean: Number = 0.0
    """About the mean of the values, from which a prediction starts; `prepare_data.py describe` finds it."""
    std: Annotated[Number, Field(gt=0)] = 1.0
    """About their standard deviation, the unit in which the loss is taken; `prepare_data.py describe` finds it."""
    loss: Text | None = None
    """`l1` (default), `l2` or `huber` of a regression; of a segmentation one in place of `seg_loss_fn`."""
    metric: Text | None = None
    """Main metric, in place of the kind's usual one."""
    title: Text | None = None
    """Name in figures and tables; none: the words of its name."""

    @property
    def labels(self) -> LabelSet | None:
        """Classes and their numbers; None without classes."""
        if self.classes is None:
            return None
        ignored, others = ((), True) if self.ignore == "others" else (self.ignore, False)
        if isinstance(self.classes, tuple):
            return LabelSet(self.classes, unlabelled=ignored, others_unlabelled=others)
        return LabelSet(
            tuple(self.classes.values()),
            first=next(iter(self.classes)),
            own_numbers=tuple(self.classes),
            unlabelled=ignored,
            others_unlabelled=others,
        )

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return what is given: a saved configuration is as short as the user's."""
        given = self._given()
        return {key: value for key, value in dump(self).items() if key in given}

    def _given(self) -> list[str]:
        """Return the keys whose values are not the usual ones."""
        return [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]

    def task(self, name: str) -> Task:
        """Return the task that is meant."""
        whole_image = WHOLE_IMAGE if self.column is not None else {}
        return make_task(
            name,
            self.kind,
            self.title or name.replace("_", " ").capitalize(),
            name.replace("_", "-").lower(),
            **whole_image,
            **({"channels": self.channels} if self.kind == "regression" else {}),
            **({"main_metric": self.metric} if self.metric else {}),
            place=self.folder or self.column,
            labels=self.labels,
            depth_range=self.range,
            loss=self.loss or "",
            unit=self.unit or "",
            scale=self.scale,
            offset=self.offset,
            invalid=tuple(_NOT_FINITE[value] if isinstance(value, str) else value for value in self.invalid),
            mean=self.mean,
            std=self.std,
        )

    def problems(self, key: str) -> Iterator[str]:
        """Yield what is wrong with the keys of the task ``key`` together."""
        keys = KINDS[self.kind].keys
        in_column = "column" in keys and ("folder" not in keys or self.folder is None)
        for name in ("file", "column") if in_column else ("folder",):
            if getattr(self, name) is None:
                either = ", or folder" if in_column and "folder" in keys else ""
                yield f"{key}.{name}: is missing{either}; a task of kind: {self.kind!r} needs it"
        for name in self._given():
            if name not in (*keys, "kind", "metric", "title"):
                kinds = " or ".join(kinds_with(name))
                yield f"{key}.{name}: is for kind: {kinds}, and kind is {self.kind!r}; remove it"
        if "file" in keys and self.folder is not None and self.file is not None:
            yield f"{key}.file: contradicts folder; the numbers are in one of them"
        if in_column and self.channels > 1:
            yield f"{key}.channels: {self.channels} needs folder; a column has one number per frame"
        if "classes" in keys:
            yield from self._class_problems(key)
        losses = (*SEGMENTATION_LOSSES,) if self.kind == "segmentation" else KINDS[self.kind].losses
        if self.loss is not None and "loss" in keys and self.loss not in losses:
            yield f"{key}.loss: {self.loss!r} is not valid; expected {', '.join(losses)}"

    def _class_problems(self, key: str) -> Iterator[str]:
        if self.classes is None:
            yield f"{key}.classes: is missing; a task of kind: {self.kind!r} needs the names of its classes"
            return
        names = list(self.classes.values()) if isinstance(self.classes, dict) else list(self.classes)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield f"{key}.classes: name {twice[0]!r} twice"
        if not 2 <= len(names) < IGNORE_INDEX:
            yield f"{key}.classes: are {len(names)}; expected 2 to {IGNORE_INDEX - 1}"
        if self.kind == "classification" and isinstance(self.classes, dict):
            yield f"{key}.classes: have numbers; of a classification they are names, as the column has them"
        numbers = self.labels.numbers if self.labels and names else ()
        for number in (*numbers, *(self.ignore if isinstance(self.ignore, tuple) else ())):
            if abs(number) > LARGEST_NUMBER:
                yield f"{key}.classes: {number} is not valid; expected numbers up to {LARGEST_NUMBER}"
        both = sorted(set(numbers) & set(self.ignore if isinstance(self.ignore, tuple) else ()))
        if both and self.kind == "segmentation":
            yield f"{key}.ignore: {both[0]} is the number of the class {names[numbers.index(both[0])]!r}"


class Images(Section):
    """Images of your own data (`dataset_name: folders`)."""

    folder: Annotated[Below, about("numbers", "speed", needs="data")] = "images"
    """Folder below `data_dir` with an image per frame; sub-folders are part of the frames' names (`field1/0003`)."""
    ending: Annotated[Text | None, about("numbers", "speed", needs="data")] = None
    """End of the files' names, after the frame's, such as `_leftImg8bit.png`; none: any type of image."""


class SplitFiles(Schema):
    """Text files below `data_dir` with the names of the frames, one per line."""

    train: Below
    """File of the training frames."""
    val: Below | None = None
    """File of the validation frames; none: they are cut from the training frames (`val_fraction`)."""
    test: Below
    """File of the test frames."""


Folders = Annotated[Below | Annotated[tuple[Below, ...], Field(min_length=1)], SeveralForms]


class SplitFolders(Schema):
    """Sub-folders of the images' folder, one or several per split; a frame belongs to the innermost one around it, and those
    that lie in none of them are not used."""

    train: Folders
    """Training frames, such as `train`."""
    val: Folders | None = None
    """Validation frames, such as `[train/ulm, train/zurich]`; none: they are cut from the training frames (`val_fraction`)."""
    test: Folders
    """Test frames."""

    def pairs(self) -> list[tuple[str, str]]:
        """Return every folder with the name of its split."""
        given = {role: [value] if isinstance(value, str) else value or () for role, value in dict(self).items()}
        return [(folder.rstrip("/"), role) for role, folders in given.items() for folder in folders]


class SplitFractions(Schema):
    """Shares of the frames."""

    train: Share = 0.7
    """Share of the training frames."""
    val: Share = 0.15
    """Share of the validation frames."""
    test: Share = 0.15
    """Share of the test frames."""
    seed: Annotated[Int, Field(ge=0)] = 0
    """Seed of the draw."""
    by_folder: Bool = False
    """Keep the frames of a sub-folder together: of one place, or of one video."""


def own_task_problems(tasks: Mapping[str, OwnTask]) -> Iterator[str]:
    """Yield what is wrong with the section ``tasks``."""
    for name, task in tasks.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", name):
            yield f"tasks.{name}: is no name of a task; expected letters, digits and _, beginning with a letter, at most 60"
        if is_reserved(name):
            yield f"tasks.{name}: has a name that means something else, here or in Python; choose another"
        yield from task.problems(f"tasks.{name}")
    short: dict[str, str] = {}
    for name in tasks:
        other = short.setdefault(name.replace("_", "-").lower(), name)
        if other != name:
            yield f"tasks.{name}: differs from {other} in small and capital letters alone; choose another name"


def split_problem(files: Any, folders: SplitFolders | None, fractions: SplitFractions | None) -> str | None:
    """Return what is wrong with the three ways to say which frames are for what."""
    ways = {"split_files": files, "split_folders": folders, "split_fractions": fractions}
    given = [key for key, value in ways.items() if value is not None]
    if len(given) > 1:
        return f"{given[0]}: contradicts {given[1]}; give one of them"
    if not given:
        return (
            "split_files: is missing; give lists of the frames (split_files: {train: train.txt, val: val.txt, test: "
            "test.txt}), or split_folders: {train: train, val: val, test: test}, or split_fractions: {train: 0.7, val: 0.15, "
            "test: 0.15}"
        )
    names = [folder for folder, _ in folders.pairs()] if folders is not None else []
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"split_folders: names {twice[0]!r} twice; a folder belongs to one split"
    if fractions is not None and not math.isclose(total := fractions.train + fractions.val + fractions.test, 1, abs_tol=1e-6):
        return f"split_fractions: train, val and test are {total:g} together; expected 1"
    return None
