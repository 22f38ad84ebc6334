"""The table of tasks: plain data, read by every layer.

A task of a known kind is added here and nowhere else: one line in ``TASKS`` says which head it gets, how its target is
read, resized and flipped, and which of its metrics is the main one. What a *kind* means is written in ``datasets/targets.py``
(its files, and what is invalid in them) and ``tasks/objectives.py`` (its loss, its metrics and its prediction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["segmentation", "depth", "normals", "edges", "attribute"]

IGNORE_INDEX = 255
"""Label of a pixel that takes part in no segmentation loss and no metric."""

MAX_METRIC_DEPTH = 10.0
"""Metres; the largest depth a ``depth_target: metric`` head can say."""

DEPTH_RANGE = {"NYU": MAX_METRIC_DEPTH, "NYU_MTAN": MAX_METRIC_DEPTH}
"""Per data set the largest depth in its files, in metres: the range of its sensor."""

MIN_NORMAL_LENGTH = 0.1
"""Below this length a normal points nowhere: the zero vector of a file, also after 8-bit rounding, or an average of
opposite directions."""

CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
).split()
"""The forty columns of the official attribute file, in its order."""

NYU_CLASSES = (
    "wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk shelves curtain dresser "
    "pillow mirror floor_mat clothes ceiling books refrigerator television paper towel shower_curtain box whiteboard "
    "person night_stand toilet sink lamp bathtub bag otherstructure otherfurniture otherprop"
).split()
"""Names of the 40 NYU-v2 classes of Gupta et al. (2013), in label order (label 1 is class 0)."""

NYU_13_CLASSES = "bed books ceiling chair floor furniture objects picture sofa table tv wall window".split()
"""Names of the 13 NYU-v2 classes of Couprie et al. (2013), in label order; MTAN's files number them from 0."""

CELEBA_CLASSES = ["background", "hair", "skin"]
"""Names of the paper's three classes, in the order of its mask files."""

CELEBA_19_CLASSES = (
    *("background", "skin", "nose", "glasses", "left eye", "right eye", "left brow", "right brow", "left ear", "right ear"),
    *("mouth", "upper lip", "lower lip", "hair", "hat", "earring", "necklace", "neck", "cloth"),
)
"""Background and the 18 parts that CelebAMask-HQ has masks of, in the order in which they are painted."""

LABEL_SETS = {
    "NYU": tuple(NYU_CLASSES),
    "NYU_MTAN": tuple(NYU_13_CLASSES),
    "celebA": tuple(CELEBA_CLASSES),
    "celebA19": CELEBA_19_CLASSES,
}
"""Names of the classes that a segmentation may have; which of them an experiment has says ``ExperimentConfig.label_set``."""

FIRST_LABEL = {"NYU": 1, "NYU_MTAN": 0, "celebA": 0, "celebA19": 0}
"""Number of class 0 in a label set's own files."""

UNLABELLED = {"NYU": (0, IGNORE_INDEX), "NYU_MTAN": (-1,), "celebA": (IGNORE_INDEX,), "celebA19": (IGNORE_INDEX,)}
"""Numbers of unlabelled pixels in a data set's own files."""

NORMAL_AXES = {"NYU": "x right, y down, z forward"}
"""Directions of the axes of a data set's normals, where that is known (MTAN's files do not say)."""


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    ``source`` says, per data set, where the target lies: a folder of the NYUD_MT layout, or for CelebAMask-HQ the mask
    folder or a column of the attribute file. ``classes`` names the classes per label set (segmentation only), ``channels``
    is the number of output channels of every other kind.
    """

    name: str
    kind: Kind
    title: str
    """Name in figures."""
    short: str
    """Name in the names of a study's experiments."""
    head: Literal["dense", "classification"]
    activation: Literal["none", "sigmoid", "tanh"]
    """Function that turns logits into values; a segmentation's classes are not made by it."""
    main_metric: str
    higher_is_better: bool
    source: Mapping[str, str]
    channels: int = 1
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resize: Literal["nearest", "bilinear", "none"] = "nearest"
    """Rule by which the target is resized; ``bilinear`` averages valid pixels only."""
    flip: Literal["mirror", "mirror_and_negate_x", "none"] = "mirror"
    """Effect on the target of a horizontal flip of the image."""
    zoom_divides: bool = False
    """True if enlarging the image by s divides the target by s (a surface that fills more pixels is nearer)."""
    objective: str = ""
    """Loss and metrics: a name in ``tasks.objectives.OBJECTIVES``; empty: the objective of its kind."""

    def outputs(self, label_set: str) -> int:
        """Number of output channels of this task's head where its classes are those of ``label_set``."""
        return len(self.classes[label_set]) if self.kind == "segmentation" else self.channels


def _attribute(name: str, column: str) -> Task:
    return Task(
        name=name,
        kind="attribute",
        title=column.replace("_", " "),
        short=name.removeprefix("class_").replace("_", "-").lower(),
        head="classification",
        activation="sigmoid",
        main_metric="accuracy",
        higher_is_better=True,
        source={"celebA": column},
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
            higher_is_better=True,
            source={"NYU": "segmentation", "NYU_MTAN": "label", "celebA": "CelebA-HQ-segmask"},
            classes=LABEL_SETS,
        ),
        Task(
            name="depth_euclidean",
            kind="depth",
            title="Depth",
            short="depth",
            head="dense",
            activation="sigmoid",
            main_metric="abs_err",
            higher_is_better=False,
            source={"NYU": "depth", "NYU_MTAN": "depth"},
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
            higher_is_better=True,
            source={"NYU": "normals", "NYU_MTAN": "normal"},
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
            higher_is_better=False,
            source={"NYU": "edge"},
            resize="bilinear",
        ),
        _attribute("class_male", "Male"),
        _attribute("class_smile", "Smiling"),
        _attribute("class_eyebrows", "Arched_Eyebrows"),
        _attribute("class_glasses", "Eyeglasses"),
    )
}
"""Every task by the name that ``task_list`` uses; ``class_<Attribute>`` of the forty need no line of their own."""


def get_task(name: str) -> Task:
    """The task called ``name``: an entry of the table, or ``class_<Attribute>`` for any of CelebA's forty attributes.

    Raises:
        KeyError: no task has that name.
    """
    if name in TASKS:
        return TASKS[name]
    column = name.removeprefix("class_")
    if name != column and column in CELEBA_ATTRIBUTES:
        return _attribute(name, column)
    raise KeyError(name)


def is_task(name: str) -> bool:
    """True if :func:`get_task` knows ``name``."""
    try:
        get_task(name)
    except KeyError:
        return False
    return True


def mirrored_classes(label_set: str) -> list[int] | None:
    """Per class of a label set the class that it is in a mirror (a left eye is a right one); None if all stay what they are."""
    names = LABEL_SETS[label_set]
    other = {"left": "right", "right": "left"}
    seen = [" ".join(other.get(word, word) for word in name.split()) for name in names]
    return None if seen == list(names) else [names.index(name) for name in seen]


def task_names(dataset: str) -> list[str]:
    """Names of the table's tasks that ``dataset`` has targets for."""
    return [name for name, task in TASKS.items() if dataset in task.source]
