"""Tasks: plain data, read by every layer; and the table of those that ship.

A task of a known kind is added here and nowhere else: one entry of ``TASKS`` says which head it gets, how its target is
read, resized and flipped, and which of its metrics is the main one. A *kind* is an entry of ``tasks/kinds.py``, and
``tasks/data_sets.py`` says where a data set keeps its targets. :func:`get_task` puts both together; the tasks of an experiment
are ``ExperimentConfig.tasks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tasks.data_sets import DATA_SETS, DataSet, LabelSet
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
    source: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Per data set that has targets of it where they lie, where the data set's own entry does not say it."""
    place: str = ""
    """Where its targets lie: a folder, or a column of the attribute file; empty in the table."""
    channels: int = 1
    """Number of output channels, if the task has no classes."""
    labels: LabelSet | None = None
    """Classes of a segmentation, and their numbers in the files; None in the table: those of the data set."""
    label_sets: tuple[LabelSet, ...] = ()
    """Label sets that the data set has files of; ``labels`` is one of them."""
    classes_key: str = ""
    """Key of the configuration that picks one of them."""
    depth_range: float = 10.0
    """Largest depth in the files, in metres."""
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
    objective: str = ""
    """Place of the class of its loss and metrics, ``module:name``; empty: that of its kind."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")

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
        sides = {"left": "right", "right": "left"}
        mirrored = [" ".join(sides.get(word, word) for word in name.split()) for name in self.classes]
        known = [name if name in self.classes else own for name, own in zip(mirrored, self.classes, strict=True)]
        return None if known == list(self.classes) else [self.classes.index(name) for name in known]


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
