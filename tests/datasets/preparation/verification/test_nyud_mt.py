"""Every kind of damage to a set in NYUD_MT layout is a row; whatever the loaders refuse is among them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.nyu import NYUDataset
from datasets.preparation.verification.contents import examine_image
from datasets.preparation.verification.findings import Content
from datasets.preparation.verify import examine_files, survey_folder
from tests.configs import make_config
from tests.datasets.frames import DENSE, write_array, write_nyu
from tests.datasets.preparation.verification import damage as by
from tests.datasets.preparation.verification.damage import Damage, lines, problems_in
from utils.errors import DataError

VARIANTS = {
    "NYUD_MT": {},
    "ASTMT": {"segmentation": "mat", "depth": "mat", "normals": "jpg", "edge": "png"},
    "ATRC": {"images": "png", "normals": "png", "edge": "png"},
}


def load_all(root: Path) -> None:
    """Read every frame as a training would."""
    config = make_config(data_dir_NYU=root, task_list=list(DENSE), input_shape=[16, 32])
    for split in ("train", "val", "test"):
        dataset = NYUDataset(config, split)
        for name in dataset.names:
            dataset.read(name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_wrong_with_a_set_in_any_of_its_file_types(variant: str, tmp_path: Path) -> None:
    write_nyu(tmp_path, types=VARIANTS[variant], size=(16, 32))
    load_all(tmp_path)
    assert problems_in(tmp_path) == []
    assert len(survey_folder(tmp_path).files) == 5 * 12


def float_labels(path: Path) -> None:
    path.unlink()
    labels = np.ones((16, 32), np.float32)
    labels[3, 4] = 1.5
    write_array(path.with_suffix(".npy"), labels)


FILES: list[tuple[str, Damage, str, str, bool]] = [
    # file, damage, problem, expected, do the loaders refuse it
    ("images/a0.jpg", by.cut(0.8), "cannot be read as an image (image file is truncated", "a whole image file", True),
    ("images/a0.jpg", by.cut(0), "cannot be read as an image (cannot identify image file)", "a whole image file", True),
    ("images/a0.jpg", by.folder_instead, "cannot be read as an image ([Errno 21] Is a directory)", "a whole image file", True),
    ("images/a0.jpg", Path.unlink, "is missing", "a file, as train.txt names a0", True),
    ("segmentation/b0.png", Path.unlink, "is missing", "a file, as val.txt names b0", True),
    ("segmentation/a0.png", by.cut(0.6), "cannot be read as an image (", "a whole file", True),
    ("segmentation/a0.png", by.put(41, 2, 3), "has the label 41", "0 (unlabelled) or 1..40", True),
    (
        "segmentation/a0.png",
        by.array(lambda a: a[:, 1:]),
        "is 16 x 31 (height x width)",
        "the size of images/a0.jpg, 16 x 32",
        True,
    ),
    ("segmentation/a0.png", by.array(lambda a: np.stack([a, a, a], -1)), "has the shape (16, 32, 3)", "(height, width)", True),
    ("segmentation/a0.png", by.grey_palette, "has a palette of greys", "numbers are the labels", True),
    ("segmentation/a0.png", by.few_bits, "is a grey image of 4 bits", "a grey image of 8 bits", True),
    ("segmentation/a0.png", by.wrong_checksum, "cannot be read whole", "a whole file", False),
    ("depth/a0.npy", by.cut(0.5), "cannot be read (", "a whole file", True),
    ("images/a0.png", Path.touch, "is there as well as a0.jpg", "one of them", True),
    ("depth/a0.npy", by.pickled, "cannot be read (it is no .npy file of numbers)", "a whole file", True),
    ("depth/a0.npy", by.array(lambda a: a[None, :5]), "is 5 x 32", "the size of images/a0.jpg", True),
    ("depth/a0.npy", by.array(lambda a: a[0]), "has the shape (32,)", "(height, width)", True),
    (
        "depth/a0.npy",
        by.array(lambda a: (1000 * a).astype(np.uint16)),
        "type uint16",
        "floats in metres, 0 where invalid",
        True,
    ),
    ("depth/a0.npy", by.put(np.inf, 1, 2), "has 1 values that are not finite", "floats in metres, 0 where invalid", False),
    ("normals/a0.npy", by.array(lambda a: a[..., :2]), "has the shape (16, 32, 2)", "(height, width, 3)", True),
    ("normals/a0.npy", by.put(np.nan, 1, 2, 0), "has 1 values that are not finite", "float unit vectors", False),
    ("normals/a0.npy", by.array(lambda a: (100 * a).astype(np.int16)), "type int16", "float unit vectors", True),
    ("normals/a0.npy", by.array(lambda a: 0.89 * a), "has 512 normals of another length than 1", "float unit vectors", True),
    ("edge/a0.npy", by.put(-0.5, 0, 0), "has the edge strength -0.5", "0 to 1", True),
]


@pytest.mark.parametrize(("file", "damage", "problem", "expected", "refused"), FILES)
def test_a_damaged_file_is_a_row(file: str, damage: Damage, problem: str, expected: str, refused: bool, tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    damage(tmp_path / file)
    (row,) = problems_in(tmp_path)
    assert row.path == file
    assert problem in row.problem and expected in row.expected, row
    assert str(tmp_path) not in row.problem
    if refused:
        with pytest.raises(DataError):
            load_all(tmp_path)
    else:
        load_all(tmp_path)


def test_what_would_be_read_in_the_place_of_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    float_labels(tmp_path / "segmentation/a0.png")
    (labels,) = problems_in(tmp_path)
    assert labels == ("segmentation/a0.npy", "has the label 1.5", "whole numbers")


@pytest.mark.parametrize(("scale", "rows"), [(1.0, 0), (0.92, 0), (1.08, 0), (1.12, 1), (0.05, 0)])
def test_normals_may_be_a_tenth_too_long_and_no_vectors_at_all(scale: float, rows: int, tmp_path: Path) -> None:
    """Below a length of 0.1 the loaders take a normal for the zero vector."""
    write_nyu(tmp_path, size=(16, 32))
    by.array(lambda normals: scale * normals)(tmp_path / "normals/a0.npy")
    assert len(problems_in(tmp_path)) == rows


def test_of_float_normals_every_one_has_unit_length(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    by.put(0, 3, 4, slice(None))(tmp_path / "normals/a0.npy")
    assert problems_in(tmp_path) == []
    by.put(0.5, 3, 4, slice(None))(tmp_path / "normals/a0.npy")
    (row,) = problems_in(tmp_path)
    assert row.problem == "has 1 normals of another length than 1, such as 0.866"


@pytest.mark.parametrize(("share", "rows"), [(0.3, 0), (0.7, 1)])
def test_of_compressed_normals_most_have_unit_length(share: float, rows: int, tmp_path: Path) -> None:
    frame = write_nyu(tmp_path, types={"normals": "png"}, size=(16, 32))["a0"]
    normals = frame["normals"]
    normals[: round(16 * share)] *= 0.5
    write_array(tmp_path / "normals/a0.png", normals)
    assert len(problems_in(tmp_path)) == rows


def test_a_palette_of_colours_or_of_the_labels_themselves_is_read_as_it_was_meant(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    rng = np.random.default_rng(0)
    for name, palette in (("a0", rng.integers(0, 256, (256, 3))), ("a1", np.repeat(np.arange(256)[:, None], 3, axis=1))):
        path = tmp_path / f"segmentation/{name}.png"
        with Image.open(path) as image:
            coloured = image.copy()
        coloured.putpalette(palette.ravel().tolist())
        coloured.save(path)
    assert problems_in(tmp_path) == []


LISTS: list[tuple[str, Damage, str, bool]] = [
    ("gt_sets/test.txt", by.append("c1\n"), "names c1 more than once for test", True),
    ("gt_sets/test.txt", by.append("c1.jpg\n"), "names c1 more than once for test", True),
    ("gt_sets/test.txt", by.folder_instead, "cannot be read (Is a directory)", True),
    ("gt_sets/test.txt", by.append("a3\na4\n"), "names a3, a4 for test, which train has too", True),
    ("gt_sets/val.txt", by.append("c0\n"), "later of two", True),
    ("gt_sets/test.txt", by.append("z9\n"), "names the frame z9, which is not there", True),
    ("gt_sets/val.txt", lambda path: path.write_text("\n"), "names 0 frames for val", True),
    ("gt_sets/train.txt", lambda path: path.write_text("a0\n"), "names 1 frame for train", True),
    ("gt_sets/train.txt", Path.unlink, "is missing", True),
    ("gt_sets/more.txt", lambda path: path.write_bytes(b"\xff\xfe\x00"), "is no UTF-8 text, it looks like UTF-16", False),
]


@pytest.mark.parametrize(("file", "damage", "problem", "refused"), LISTS)
def test_a_damaged_list_is_a_row(file: str, damage: Damage, problem: str, refused: bool, tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    damage(tmp_path / file)
    (row,) = problems_in(tmp_path)
    if problem == "later of two":  # the later of two lists is named
        assert row == ("gt_sets/test.txt", "names c0 for test, which val has too", "every frame in one split")
    else:
        assert row.path == file and problem in row.problem, row
    if refused:
        with pytest.raises(DataError):
            load_all(tmp_path)
    else:
        load_all(tmp_path)


def test_every_line_that_is_no_name_is_a_row(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    by.append("c1 c2\n\nimages/c1.jpg\n")(tmp_path / "gt_sets/test.txt")
    assert problems_in(tmp_path) == [
        ("gt_sets/test.txt:3", "is 'c1 c2'", "the name of one frame per line"),
        ("gt_sets/test.txt:5", "is 'images/c1.jpg'", "the name of one frame per line"),
    ]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    (tmp_path / "images/a0.jpg").write_bytes(b"")
    (tmp_path / "depth/a0.npy").write_bytes(b"")
    (tmp_path / "edge/c1.npy").unlink()
    (tmp_path / "edge/a5.npy").unlink()
    by.append("c0\n")(tmp_path / "gt_sets/test.txt")
    rows = problems_in(tmp_path)
    assert [row.path for row in rows] == [
        *("depth/a0.npy", "edge/a5.npy", "edge/c1.npy", "gt_sets/test.txt", "images/a0.jpg"),
    ], lines(rows)


def test_the_published_two_lists_and_lists_of_other_names_are_fine(tmp_path: Path) -> None:
    write_nyu(tmp_path, {"train": ["x1", "x2", "x3"], "val": ["y1"], "trainval": ["x1", "x2", "x3", "y1"]}, size=(16, 32))
    assert problems_in(tmp_path) == []
    (tmp_path / "gt_sets/val.txt").unlink()
    (row,) = problems_in(tmp_path)
    assert row.path == "gt_sets/test.txt" and "val.txt" in row.problem


def test_frames_in_no_list_are_counted_and_folders_that_are_not_there_are_not_missed(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    for folder in ("edge", "normals"):
        for path in (tmp_path / folder).iterdir():
            path.unlink()
        (tmp_path / folder).rmdir()
    (tmp_path / "images/extra.jpg").write_bytes(b"nobody reads it")
    survey = survey_folder(tmp_path)
    sizes = examine_files(survey, 1)
    assert survey.problems == []
    assert survey.unused == 1
    assert survey.targets == ["segmentation (.png)", "depth (.npy)"]
    assert survey.counts == {"train": 7, "val": 3, "test": 2}
    assert sizes == {(16, 32): 12}


def test_a_set_without_any_target_is_no_use(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    for folder in ("segmentation", "depth", "normals", "edge"):
        (tmp_path / folder).rename(tmp_path / f"no {folder}")
    (row,) = problems_in(tmp_path)
    assert row.problem == "has no targets"


def test_the_size_of_an_image_is_height_and_width(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    assert examine_image(tmp_path / "images/a0.jpg") == Content((16, 32))
