"""The table of tasks: label sets, and what a mirror makes of their classes."""

import pytest

from tasks.data_sets import find_label_set
from tasks.table import get_task, mirrored_classes


@pytest.mark.parametrize(("label_set", "count"), [("NYU", 40), ("NYU_MTAN", 13), ("celebA", 3), ("celebA19", 19)])
def test_a_segmentation_has_as_many_outputs_as_its_label_set_has_names(label_set: str, count: int) -> None:
    assert get_task("segmentsemantic").outputs(label_set) == count == len(set(find_label_set(label_set).classes))
    assert get_task("depth_euclidean").outputs(label_set) == 1
    assert get_task("surface_normal").outputs(label_set) == 3


def test_the_thirteen_classes_are_those_of_couprie_in_their_order() -> None:
    """The file class13Mapping.mat says so: 1 is bed, 13 is window."""
    assert find_label_set("NYU_MTAN").classes == (
        *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
        *("picture", "sofa", "table", "tv", "wall", "window"),
    )


def test_in_a_mirror_left_parts_of_a_face_are_right_ones() -> None:
    names = find_label_set("celebA19").classes
    mirrored = mirrored_classes("celebA19")
    assert mirrored is not None
    swapped = {names[label]: names[other] for label, other in enumerate(mirrored) if label != other}
    assert swapped == {
        **{"left eye": "right eye", "left brow": "right brow", "left ear": "right ear"},
        **{"right eye": "left eye", "right brow": "left brow", "right ear": "left ear"},
    }
    assert [mirrored[other] for other in mirrored] == list(range(19))


@pytest.mark.parametrize("label_set", ["NYU", "NYU_MTAN", "celebA"])
def test_classes_without_sides_stay_what_they_are_in_a_mirror(label_set: str) -> None:
    assert mirrored_classes(label_set) is None
