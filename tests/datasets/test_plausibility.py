"""Encodings that one file cannot show: a loader judges them by some files of its split, ``verify`` by all."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import plausibility
from datasets.loaders import build_dataset
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.frames import DENSE, write_array, write_celeba, write_nyu
from tests.datasets.mtan_frames import write_mtan
from tests.datasets.preparation.verification.damage import problems_in
from utils.errors import DataError

SIZE = (16, 32)
Change = Callable[[np.ndarray], np.ndarray]


def nyu(root: Path, task: str, **values: object) -> ExperimentConfig:
    return make_config(data_dir_NYU=root, task_list=[task], input_shape=list(SIZE), **values)


def rewrite(root: Path, folder: str, change: Change, suffix: str = ".npy") -> None:
    """The same change to every file of a folder."""
    for path in sorted((root / folder).iterdir()):
        array = change(np.load(path))
        path.unlink()
        write_array(path.with_suffix(suffix), array)


def counted_from_0(void: int) -> Change:
    """NYU's classes 1..40 as 0..39, and never the last one."""
    return lambda labels: np.where(labels == 0, void, np.minimum(labels.astype(int), 39) - 1)


def test_a_class_that_a_handful_of_frames_lacks_proves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both marks of unlabelled pixels are legal."""
    write_nyu(tmp_path, size=SIZE)
    for path in (tmp_path / "segmentation").iterdir():
        labels = np.asarray(Image.open(path)).copy()
        labels[labels == 40] = 39
        labels[0, :2] = 0, 255
        write_array(path, labels)
    build_dataset(nyu(tmp_path, "segmentsemantic"), "val")
    assert "classes are counted from 0" in caplog.text


def test_masks_of_three_classes_are_not_read_as_nineteen(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    config = make_config(dataset_name="celebA", data_dir_celebA=tmp_path, task_list=["segmentsemantic"], celebA_classes=19)
    with pytest.raises(DataError, match=r"has no part beyond hair and skin, nor have most of \d+ files?: a set of 3 classes"):
        build_dataset(config, "train")


SETS: dict[str, tuple[str, str, Change, str, str]] = {
    # task, folder, change, suffix, what is said
    "classes from 0, void 255": (
        "segmentsemantic",
        "segmentation",
        lambda labels: counted_from_0(255)(labels).astype(np.uint8),
        ".png",
        r"has the label 255, and of \d+ files some have 0 and none 40: classes are counted from 0; expected classes from 1",
    ),
    "classes from 0, void -1": ("segmentsemantic", "segmentation", counted_from_0(-1), ".npy", r"has the label -1, and of"),
    "edges of 0 and 1 in 8 bits": (
        "edge_texture",
        "edge",
        lambda edges: (edges > 0.5).astype(np.uint8),
        ".png",
        r"has edges of 0 and 1 in 8 bits, as \d+ of \d+ files have; expected full edges of 255",
    ),
    "edges of 0 and 1 in 8 bits, 255 where void": (
        "edge_texture",
        "edge",
        lambda edges: np.where(np.arange(edges.shape[0])[:, None] < 3, 255, edges > 0.5).astype(np.uint8),
        ".png",
        r"has edges of 0 and 1 in 8 bits",
    ),
    "8-bit edges in 16 bits": (
        "edge_texture",
        "edge",
        lambda edges: (255 * edges).astype(np.uint16),
        ".npy",
        r"has no edge above 0\.0039 of the largest value of its type",
    ),
    "normals as colours that happen to have unit length": (
        "surface_normal",
        "normals",
        lambda normals: np.abs(normals),
        ".npy",
        r"has no negative component, nor has any of \d+ files; expected vectors n, not colours",
    ),
}


@pytest.mark.parametrize("kind", SETS)
def test_a_set_in_another_encoding_is_refused_before_it_is_read(kind: str, tmp_path: Path) -> None:
    """Also where bad frames are skipped; ``verify`` says the same once."""
    task, folder, change, suffix, said = SETS[kind]
    write_nyu(tmp_path, types={"segmentation": "npy"}, size=SIZE)
    rewrite(tmp_path, folder, change, suffix)
    config = nyu(tmp_path, task, on_bad_sample="skip", cache=str(tmp_path / "kept"))
    # That a class occurs in none of the few frames of validation is no proof.
    for split in ("val", "train")[folder == "segmentation" :]:
        with pytest.raises(DataError, match=rf"^{tmp_path}/{folder}/\w+\{suffix} {said}") as caught:
            build_dataset(config, split)
    assert not (tmp_path / "kept").exists()
    if kind != "classes from 0, void -1":  # there, every file is a row
        (row,) = [row for row in problems_in(tmp_path) if "12 files" in row.problem]
        assert str(caught.value).endswith(f"{row.problem}; expected {row.expected}".replace("12", "7"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_mtans_labels_counted_from_1_are_refused_also_if_bad_frames_are_skipped(split: str, tmp_path: Path) -> None:
    write_mtan(tmp_path, {"train": 4, "val": 2}, SIZE)
    for folder in ("train", "val"):
        rewrite(tmp_path / folder, "label", lambda labels: labels + 1)
    np.save(tmp_path / "val" / "label" / "1.npy", np.full(SIZE, 3))  # alone it could be either
    config = make_config(
        dataset_name="NYU_MTAN", data_dir_NYU_MTAN=tmp_path, task_list=["segmentsemantic"], on_bad_sample="skip"
    )
    with pytest.raises(
        DataError, match=r"has the label 13, and none of \d files? has -1: classes are counted from 1; expected"
    ):
        build_dataset(config, split)


def test_depth_of_a_set_that_is_never_above_1_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Relative targets are right all the same."""
    write_nyu(tmp_path, size=SIZE)
    rewrite(tmp_path, "depth", lambda depth: depth / 10)
    for _ in range(3):
        build_dataset(nyu(tmp_path, "depth_euclidean"), "train")
    (said,) = [record.getMessage() for record in caplog.records if "depth" in record.getMessage()]
    assert "has no depth above 0.9, nor has any of 7 files; expected metres" in said
    assert [row.problem for row in problems_in(tmp_path)] == ["has no depth above 0.9, nor has any of 12 files"]


ALSO_RIGHT: dict[str, tuple[str, str, Change]] = {
    "40 proves that 0 is unlabelled, beside 255": ("segmentsemantic", "segmentation", lambda a: np.where(a == 7, 255, a)),
    "255 alone is unlabelled": ("segmentsemantic", "segmentation", lambda a: np.where(a == 0, 255, a)),
    "39 classes and 0": ("segmentsemantic", "segmentation", lambda a: np.minimum(a, 39)),
    "no label at all": ("segmentsemantic", "segmentation", lambda a: 0 * a),
    "no edge at all": ("edge_texture", "edge", lambda a: (0 * a).astype(np.uint8)),
    "no normal at all": ("surface_normal", "normals", lambda a: 0 * a),
    "no depth at all": ("depth_euclidean", "depth", lambda a: 0 * a),
}


@pytest.mark.parametrize("kind", ALSO_RIGHT)
def test_what_may_be_meant_is_not_refused(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task, folder, change = ALSO_RIGHT[kind]
    write_nyu(tmp_path, types={"segmentation": "npy"}, size=SIZE)
    rewrite(tmp_path, folder, change)
    for split in ("train", "val", "test"):
        build_dataset(nyu(tmp_path, task), split)
    assert not caplog.records
    assert problems_in(tmp_path) == []


def test_one_frame_of_faint_edges_is_no_matter(tmp_path: Path) -> None:
    write_nyu(tmp_path, types={"edge": "png"}, size=SIZE)
    write_array(tmp_path / "edge" / "a0.png", np.ones(SIZE, np.uint8))
    dataset = build_dataset(nyu(tmp_path, "edge_texture"), "train")
    np.testing.assert_allclose(dataset.load(0)["targets"]["edge_texture"], 1 / 255, rtol=1e-6)


def test_few_files_are_looked_at_and_those_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:03d}" for number in range(30)]
    write_nyu(tmp_path, {"train": names, "val": ["x"], "test": ["y"]}, size=(16, 16))
    seen: list[str] = []
    read = plausibility.read_array
    monkeypatch.setattr(plausibility, "read_array", lambda path, exact: seen.append(path.stem) or read(path, exact))
    for _ in range(2):
        build_dataset(make_config(data_dir_NYU=tmp_path, task_list=list(DENSE), input_shape=[16, 16]), "train")
    assert len(seen) == 4 * plausibility.LOOKED_AT
    assert sorted(set(seen))[0] == "000" and sorted(set(seen))[-1] > "027"


def test_an_unreadable_file_is_left_to_its_turn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_nyu(tmp_path, size=SIZE)
    (tmp_path / "depth" / "b1.npy").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        dataset = build_dataset(nyu(tmp_path, "depth_euclidean"), "val")
    dataset[0]
    with pytest.raises(DataError, match=r"b1\.npy cannot be read"):
        dataset[1]
