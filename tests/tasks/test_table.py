"""The table of tasks: label sets, and what a mirror makes of their classes."""

import pytest

from tests.tasks.known import LABELLED, NYU


@pytest.mark.parametrize(("label_set", "count"), [("NYU", 40), ("NYU_MTAN", 13), ("celebA", 3), ("celebA19", 19)])
def test_a_segmentation_has_as_many_outputs_as_its_label_set_has_names(label_set: str, count: int) -> None:
    task = LABELLED[label_set]["segmentsemantic"]
    assert task.outputs == count == len(set(task.classes))
    assert NYU["depth_euclidean"].outputs == 1
    assert NYU["surface_normal"].outputs == 3


def test_the_thirteen_classes_are_those_of_couprie_in_their_order() -> None:
    """The file class13Mapping.mat says so: 1 is bed, 13 is window."""
    assert LABELLED["NYU_MTAN"]["segmentsemantic"].classes == (
        *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
        *("picture", "sofa", "table", "tv", "wall", "window"),
    )


def test_in_a_mirror_left_parts_of_a_face_are_right_ones() -> None:
    task = LABELLED["celebA19"]["segmentsemantic"]
    names, mirrored = task.classes, task.mirrored_classes()
    assert mirrored is not None
    swapped = {names[label]: names[other] for label, other in enumerate(mirrored) if label != other}
    assert swapped == {
        **{"left eye": "right eye", "left brow": "right brow", "left ear": "right ear"},
        **{"right eye": "left eye", "right brow": "left brow", "right ear": "left ear"},
    }
    assert [mirrored[other] for other in mirrored] == list(range(19))


@pytest.mark.parametrize("label_set", ["NYU", "NYU_MTAN", "celebA"])
def test_classes_without_sides_stay_what_they_are_in_a_mirror(label_set: str) -> None:
    assert LABELLED[label_set]["segmentsemantic"].mirrored_classes() is None
