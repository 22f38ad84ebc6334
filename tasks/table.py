"""Tasks: plain data, read by every layer; and the table of those that ship.

A task of a known kind is added here and nowhere else: one entry of ``TASKS`` says which head it gets, how its target is
read, resized and flipped, and which of its metrics is the main one. A *kind* is an entry of ``tasks/kinds.py``, and
``tasks/data_sets.py`` says where a data set keeps its targets. :func:`get_task` puts both together; the tasks of an experiment
are ``ExperimentConfig.tasks``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tasks.data_sets import DATA_SETS, DataSet, LabelSet
from tasks.kinds import KINDS

IGNORE_INDEX = 255
"""Label of a pixel that takes part in no segmentation loss and no metric."""

MIN_NORMAL_LENGTH = 0.1
"""Below this length a normal points nowhere: the zero vector of a file, also after 8-bit rounding, or an average of
opposite directions."""


SEGMENTATION_LOSSES: dict[str, str] = {
    "softCEloss": "tasks.losses:SOFT_CROSS_ENTROPY",
    "dice": "tasks.losses:DICE",
    "Tversky": "tasks.losses:FOCAL_TVERSKY",
    "Focal": "tasks.losses:FOCAL",
}
"""Values of ``seg_loss_fn``, and the place of each loss."""
OVERLAP_LOSSES = ("dice", "Tversky")
"""Those that are no mean over pixels."""


@dataclass(frozen=True)
class Task:
    """One thing to predict."""

    name: str
    kind: str
    """Name of its kind in ``tasks.kinds.KINDS``."""
    title: str
    """Name in figures."""
    short: str
    """Name in the names of a study's experiments."""
    activation: Literal["none", "sigmoid", "tanh"]
    """Function that turns logits into values; a segmentation's classes are not made by it."""
    main_metric: str
    head: Literal["dense", "classification"] = "dense"
    source: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Per data set that has targets of it where they lie, where the data set's own entry does not say it."""
    place: str = ""
    """Where its targets lie: a folder, or a column of the attribute file; empty in the table."""
    channels: int = 1
    """Number of output channels, if the task has no classes."""
    labels: LabelSet | None = None
    """Classes, and their numbers in the files; None in the table: those of the data set, if it is a segmentation."""
    label_sets: tuple[LabelSet, ...] = ()
    """Label sets that the data set has files of; ``labels`` is one of them."""
    classes_key: str = ""
    """Key of the configuration that picks one of them."""
    depth_range: float = 10.0
    """Largest depth in the files, in metres: what a head of ``depth_target: metric`` can say."""
    normal_axes: str | None = None
    """Directions of the axes of normals; None: not known."""
    has_unit_normals: bool = False
    """True if normals that are stored as floats have unit length."""
    resize: Literal["nearest", "bilinear", "none"] = "nearest"
    """Rule by which the target is resized; ``bilinear`` averages valid pixels only."""
    flip: Literal["mirror", "mirror_and_negate_x", "none"] = "mirror"
    """Effect on the target of a horizontal flip of the image."""
    zoom_divides: bool = False
    """True if enlarging the image by s divides the target by s (a surface that fills more pixels is nearer)."""
    loss: str = ""
    """Loss in place of the objective's usual one."""
    unit: str = ""
    """Unit of a number."""
    scale: float = 1.0
    """Factor from a number in the files to its unit."""
    offset: float = 0.0
    """What is added after that."""
    invalid: tuple[float, ...] = ()
    """Numbers in the files that stand for an unknown value; NaN and the infinities may be among them."""
    mean: float = 0.0
    """About the mean of all values: a regression's logit 0 means it."""
    std: float = 1.0
    """About the spread of all values: a regression's logit 1 is so much more than logit 0."""
    objective: str = ""
    """Place of the class of its loss and metrics, ``module:name``; empty: that of its kind."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if len(self.classes) > IGNORE_INDEX:
            raise ValueError(f"{self.name}: {len(self.classes)} classes are more than {IGNORE_INDEX}, which a byte tells apart")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty if the task has none."""
        return self.labels.classes if self.labels else ()

    @property
    def outputs(self) -> int:
        """Number of output channels of the head."""
        return len(self.classes) or self.channels

    @property
    def is_dense(self) -> bool:
        """True if it says something about every pixel, and not about the whole image."""
        return self.head == "dense"

    def mirrored_classes(self) -> list[int] | None:
        """Return per class what it is in a mirror (a left eye is a right one); None if all stay what they are."""
        sides = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}
        word = re.compile(rf"(?<![A-Za-z])({'|'.join(sides)})(?![A-Za-z])")
        mirrored = [word.sub(lambda match: sides[match[1]], name) for name in self.classes]
        known = [name if name in self.classes else own for name, own in zip(mirrored, self.classes, strict=True)]
        return None if known == list(self.classes) else [self.classes.index(name) for name in known]


def make_task(name: str, kind: str, title: str, short: str, **fields: Any) -> Task:
    """Make a task with the fields that are usual for its kind (``tasks.kinds.Kind.task``), but for those that are given."""
    usual = KINDS[kind].task if kind in KINDS else {"activation": "none", "main_metric": ""}
    return Task(name, kind, title, short, **{**usual, **fields})


def _attribute(name: str, column: str) -> Task:
    source = {name: column for name, data_set in DATA_SETS.items() if column in data_set.attributes}
    short = name.removeprefix("class_").replace("_", "-").lower()
    return make_task(name, "attribute", column.replace("_", " "), short, source=source)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        make_task("segmentsemantic", "segmentation", "Semantic segmentation", "seg"),
        make_task("depth_euclidean", "depth", "Depth", "depth"),
        make_task("surface_normal", "normals", "Surface normals", "sn"),
        make_task("edge_texture", "edges", "Edges", "edge"),
        _attribute("class_male", "Male"),
        _attribute("class_smile", "Smiling"),
        _attribute("class_eyebrows", "Arched_Eyebrows"),
        _attribute("class_glasses", "Eyeglasses"),
    )
}
"""Every task by the name that ``task_list`` uses; ``class_<Attribute>`` of a data set needs no entry."""


def places_of(name: str) -> dict[str, str]:
    """Return where the targets of a task of the table lie, per data set that has some.

    Raises:
        KeyError: no task has that name.
    """
    listed = {data_set.name: data_set.targets[name] for data_set in DATA_SETS.values() if name in data_set.targets}
    return {**_entry(name).source, **listed}


def get_task(name: str, data_set: DataSet | None = None, label_set: str = "") -> Task:
    """Return a task as a data set has it: an entry of the table, or ``class_<Attribute>`` for any attribute of a data set.

    Args:
        name: of the task.
        data_set: one that has targets of it; None: the first one.
        label_set: of the data set, with the classes of a segmentation; empty: the usual one.

    Raises:
        KeyError: no task has that name, or the data set has no targets of it.
    """
    entry, places = _entry(name), places_of(name)
    data_set = data_set or DATA_SETS[next(iter(places))]
    labels = entry.labels
    if entry.kind == "segmentation" and labels is None:
        labels = data_set.label_sets[label_set or next(iter(data_set.label_sets))]
    return replace(
        entry,
        place=places[data_set.name],
        labels=labels,
        label_sets=tuple(data_set.label_sets.values()) if entry.labels is None else (),
        classes_key=data_set.classes_key or "",
        depth_range=data_set.depth_range,
        normal_axes=data_set.normal_axes,
        has_unit_normals=data_set.has_unit_normals,
    )


def _entry(name: str) -> Task:
    if name in TASKS:
        return TASKS[name]
    column = name.removeprefix("class_")
    if name != column and any(column in data_set.attributes for data_set in DATA_SETS.values()):
        return _attribute(name, column)
    raise KeyError(name)


def is_task(name: str) -> bool:
    """Return True if :func:`get_task` knows ``name``."""
    try:
        _entry(name)
    except KeyError:
        return False
    return True


def tasks_of(data_set: DataSet, label_set: str = "") -> dict[str, Task]:
    """Return the table's tasks that a data set has targets for, by name; ``label_set`` as in :func:`get_task`."""
    return {name: get_task(name, data_set, label_set) for name in TASKS if data_set.name in places_of(name)}
