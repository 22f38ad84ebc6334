"""The table of tasks: plain data, read by every layer.

A task of a known kind is added here and nowhere else: one entry of ``TASKS`` says which head it gets, how its target is
read, resized and flipped, and which of its metrics is the main one. A *kind* is an entry of ``tasks/kinds.py``, and
``tasks/data_sets.py`` says where a data set keeps its targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tasks.data_sets import DATA_SETS, data_set_of, find_label_set
from tasks.kinds import KINDS

IGNORE_INDEX = 255
"""Label of a pixel that takes part in no segmentation loss and no metric."""

MAX_METRIC_DEPTH = 10.0
"""Metres; the largest depth a ``depth_target: metric`` head can say."""

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
    head: Literal["dense", "classification"]
    activation: Literal["none", "sigmoid", "tanh"]
    """Function that turns logits into values; a segmentation's classes are not made by it."""
    main_metric: str
    source: Mapping[str, str] = field(default_factory=dict)
    """Per data set where the target lies (see :attr:`places`), where the data set's own entry does not say it."""
    channels: int = 1
    """Number of output channels, if the task is no segmentation."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per label set the names of a segmentation's classes, where they are others than the label set's."""
    resize: Literal["nearest", "bilinear", "none"] = "nearest"
    """Rule by which the target is resized; ``bilinear`` averages valid pixels only."""
    flip: Literal["mirror", "mirror_and_negate_x", "none"] = "mirror"
    """Effect on the target of a horizontal flip of the image."""
    zoom_divides: bool = False
    """True if enlarging the image by s divides the target by s (a surface that fills more pixels is nearer)."""
    objective: str = ""
    """Place of the class of its loss and metrics, ``module:name``; empty: that of its kind."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")

    @property
    def places(self) -> dict[str, str]:
        """Per data set that has targets of this task where they lie: a folder, or a column of the attribute file."""
        named = {name: data_set.targets[self.name] for name, data_set in DATA_SETS.items() if self.name in data_set.targets}
        return {**self.source, **named}

    def class_names(self, label_set: str) -> tuple[str, ...]:
        """Return the names of a segmentation's classes."""
        return self.classes[label_set] if label_set in self.classes else find_label_set(label_set).classes

    def outputs(self, label_set: str) -> int:
        """Return the number of output channels of this task's head where its classes are those of ``label_set``."""
        return len(self.class_names(label_set)) if self.kind == "segmentation" else self.channels


def _attribute(name: str, column: str) -> Task:
    return Task(
        name=name,
        kind="attribute",
        title=column.replace("_", " "),
        short=name.removeprefix("class_").replace("_", "-").lower(),
        head="classification",
        activation="sigmoid",
        main_metric="accuracy",
        source={name: column for name, data_set in DATA_SETS.items() if column in data_set.attributes},
        resize="none",
        flip="none",
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="segmentsemantic",
            kind="segmentation",
            title="Semantic segmentation",
            short="seg",
            head="dense",
            activation="none",
            main_metric="mIoU",
        ),
        Task(
            name="depth_euclidean",
            kind="depth",
            title="Depth",
            short="depth",
            head="dense",
            activation="sigmoid",
            main_metric="abs_err",
            zoom_divides=True,
        ),
        Task(
            name="surface_normal",
            kind="normals",
            title="Surface normals",
            short="sn",
            head="dense",
            activation="tanh",
            main_metric="mean_cosine",
            channels=3,
            resize="bilinear",
            flip="mirror_and_negate_x",
        ),
        Task(
            name="edge_texture",
            kind="edges",
            title="Edges",
            short="edge",
            head="dense",
            activation="sigmoid",
            main_metric="abs_err",
            resize="bilinear",
        ),
        _attribute("class_male", "Male"),
        _attribute("class_smile", "Smiling"),
        _attribute("class_eyebrows", "Arched_Eyebrows"),
        _attribute("class_glasses", "Eyeglasses"),
    )
}
"""Every task by the name that ``task_list`` uses; ``class_<Attribute>`` of a data set needs no entry."""


def get_task(name: str) -> Task:
    """Return the task called ``name``: an entry of the table, or ``class_<Attribute>`` for any attribute of a data set.

    Raises:
        KeyError: no task has that name.
    """
    if name in TASKS:
        return TASKS[name]
    column = name.removeprefix("class_")
    if name != column and any(column in data_set.attributes for data_set in DATA_SETS.values()):
        return _attribute(name, column)
    raise KeyError(name)


def is_task(name: str) -> bool:
    """Return True if :func:`get_task` knows ``name``."""
    try:
        get_task(name)
    except KeyError:
        return False
    return True


def mirrored_classes(label_set: str) -> list[int] | None:
    """Return per class of a label set its class in a mirror (a left eye is a right one); None if all stay what they are."""
    if label_set not in data_set_of(label_set).label_sets:
        return None  # the data set has no segmentation
    names = find_label_set(label_set).classes
    sides = {"left": "right", "right": "left"}
    mirrored = [" ".join(sides.get(word, word) for word in name.split()) for name in names]
    return None if mirrored == list(names) else [names.index(name) for name in mirrored]


def task_names(dataset: str) -> list[str]:
    """Return the names of the table's tasks that ``dataset`` has targets for."""
    return [name for name, task in TASKS.items() if dataset in task.places]
