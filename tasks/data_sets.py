"""The table of data sets: plain data, read by every layer.

A data set whose files lie as a reader of ``datasets/loaders.py`` expects them is one entry of ``DATA_SETS``, and nothing else.
Another layout is one module more in ``datasets``, with one line in ``READERS`` (docs/add_a_dataset.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class LabelSet:
    """Classes of a segmentation, and their numbers in the data set's files."""

    classes: tuple[str, ...]
    """Names, in the order of the numbers."""
    first: int = 0
    """Number of class 0 in the files."""
    own_numbers: tuple[int, ...] = ()
    """Number of every class in the files, where they do not follow one another."""
    unlabelled: tuple[int, ...] = (255,)
    """Numbers of an unlabelled pixel in the files."""
    others_unlabelled: bool = False
    """True if every number that is no class's means an unlabelled pixel."""
    last_is_common: bool = False
    """True if most frames show the last class: files without it are numbered in another way."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Number of every class in the files."""
        return self.own_numbers or tuple(range(self.first, self.first + len(self.classes)))


@dataclass(frozen=True)
class DataSet:
    """Everything that differs from one data set to another, but for how its files are read (``layout``)."""

    name: str
    """Value of ``dataset_name``."""
    title: str
    """Name in figures and messages."""
    about: str
    """Description in the table of the configuration's keys."""
    layout: str
    """Reader of its files: an entry of ``datasets.loaders.READERS``."""
    targets: Mapping[str, str]
    """Per task of the table where its target lies: a folder, or a column of the attribute file."""
    label_sets: Mapping[str, LabelSet] = field(default_factory=dict)
    """Label sets by name. The first is the usual one."""
    attributes: tuple[str, ...] = ()
    """Columns of the attribute file; each is the task ``class_<column>``."""
    also_called: tuple[str, ...] = ()
    """Other names, in small letters, that a user may give it; a message then suggests ``name``."""
    folder_keys: tuple[str, ...] = ()
    """Keys of the configuration for its folder, beside ``data_dir``; the first one that is given counts."""
    classes_key: str | None = None
    """Key of the configuration that picks the label set by its number of classes."""
    own_keys: tuple[str, ...] = ()
    """Keys of the configuration that this data set reads and others need not: its split files, for instance."""
    target_keys: tuple[str, ...] = ()
    """Keys of the configuration on which the values of a target that is read depend."""
    depth_range: float = 10.0
    """Largest depth in its files, in metres: the range of its sensor."""
    normal_axes: str | None = None
    """Directions of the axes of its normals; None: not known."""
    has_unit_normals: bool = False
    """True if normals that are stored as floats have unit length; else they were resized or compressed."""
    drawn_as: str = ""
    """Value of ``--dataset`` with which ``prepare_data.py synthetic`` draws such a set; empty: there is none."""
    script: str = "get_outputs.py"
    """Script that evaluates its saved trials."""
    terms: str = ""
    """Source of its frames, and the terms on which they may be used."""


OWN_DATA = "folders"
"""Value of ``dataset_name`` for data whose tasks are in the configuration."""

NYU_TERMS = "NYU Depth v2 (Silberman, Hoiem, Kohli and Fergus, ECCV 2012); its authors state no licence"

DATA_SETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            name="NYU",
            title="NYU-v2",
            about="NYU-v2, NYUD_MT layout",
            layout="NYUD_MT",
            targets={
                "segmentsemantic": "segmentation",
                "depth_euclidean": "depth",
                "surface_normal": "normals",
                "edge_texture": "edge",
            },
            label_sets={"NYU": LabelSet(tuple(NYU_CLASSES), first=1, unlabelled=(0, 255), last_is_common=True)},
            also_called=("nyuv2", "nyu_v2", "nyudv2", "nyud_mt"),
            folder_keys=("data_dir_NYU",),
            own_keys=("splits",),
            normal_axes="x right, y down, z forward",
            has_unit_normals=True,
            terms=NYU_TERMS,
            drawn_as="nyu",
        ),
        DataSet(
            name="NYU_MTAN",
            title="NYU-v2 (MTAN)",
            about="NYU-v2 as MTAN and LibMTL have it, 13 classes",
            layout="MTAN",
            targets={"segmentsemantic": "label", "depth_euclidean": "depth", "surface_normal": "normal"},
            label_sets={"NYU_MTAN": LabelSet(tuple(NYU_13_CLASSES), unlabelled=(-1,))},
            folder_keys=("data_dir_NYU_MTAN", "data_dir_NYU"),
            terms=NYU_TERMS,
        ),
        DataSet(
            name="celebA",
            title="CelebAMask-HQ",
            about="CelebAMask-HQ",
            layout="CelebAMask-HQ",
            targets={"segmentsemantic": "CelebA-HQ-segmask"},
            label_sets={"celebA": LabelSet(tuple(CELEBA_CLASSES)), "celebA19": LabelSet(CELEBA_19_CLASSES)},
            attributes=tuple(CELEBA_ATTRIBUTES),
            also_called=("celebamask", "celebamask-hq", "celeba-hq"),
            folder_keys=("data_dir_celebA",),
            classes_key="celebA_classes",
            own_keys=("data_split_file", "celebA_classes", "mask_void"),
            target_keys=("mask_void", "celebA_classes"),
            drawn_as="celebA",
            script="get_out_put_celeb.py",
            terms="CelebAMask-HQ (Lee, Liu, Wu and Luo, CVPR 2020); for non-commercial research and education alone",
        ),
        DataSet(
            name=OWN_DATA,
            title="own data",
            about="your own data, with `tasks`",
            layout="folders",
            targets={},
            also_called=("mydata", "custom", "own", "folder"),
            own_keys=("tasks", "images", "split_files", "split_folders", "split_fractions"),
            drawn_as="fields",
        ),
    )
}
"""Every data set by the name that ``dataset_name`` uses."""
