"""Synthetic sets: their own parameters beside them, one sentence for a mistake, a stranger's folder left alone."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from datasets.preparation import synthetic
from datasets.preparation.workspace import MANIFEST
from tests.datasets.preparation.command import exit_code, refused
from tests.datasets.preparation.verification.damage import problems_in

SMALL = ("--train", "2", "--val", "1", "--test", "1", "--size", "16")
COUNTS = {"train": 2, "val": 1, "test": 1}


def make(dataset: str, out: Path, *more: str) -> int:
    """The exit code of one small run."""
    return exit_code("synthetic", "--dataset", dataset, "--out", out, *SMALL, *more)


def content(folder: Path) -> dict[str, bytes]:
    """All files under a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("dataset", synthetic.DATASETS)
def test_a_set_is_what_its_generator_writes_with_its_parameters_beside_it(dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "set"
    assert make(dataset, out, "--seed", "7") == 0
    maker = synthetic.generator(dataset)
    maker.write(tmp_path / "expected", COUNTS, (16, 16), 7)
    made = content(out)
    manifest = json.loads(made.pop(MANIFEST))
    assert made == content(tmp_path / "expected")
    assert set(maker.files(COUNTS)) == set(made)
    assert manifest["recipe"] == recipe(dataset, seed=7)
    assert manifest["counts"] == COUNTS
    if dataset != "fields":  # own data are verified by a configuration
        assert problems_in(out) == []


@pytest.mark.parametrize(
    ("frames", "counts"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (11, (9, 1, 1)), (12, (8, 2, 2)), (240, (160, 40, 40)), (300, (200, 50, 50))],
)
def test_frames_are_two_thirds_one_sixth_one_sixth(frames: int, counts: tuple[int, ...]) -> None:
    assert tuple(synthetic.split_frames(frames).values()) == counts


def test_the_number_of_frames_and_where_they_go_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code("synthetic", "--dataset", "celebA", "--frames", "7", "--size", "16") == 0
    assert capsys.readouterr().out == "data/synthetic_celeba: 5 train, 1 val, 1 test, 16 x 16\n"
    assert len(list((tmp_path / "data/synthetic_celeba/CelebA-HQ-img").iterdir())) == 7
    assert exit_code("synthetic", "--dataset", "NYU", "--train", "1", "--val", "0", "--test", "2", "--size", "16") == 0
    assert (tmp_path / "data/synthetic_nyu/gt_sets/test.txt").read_text() == "0001\n0002\n"


def test_the_same_set_again_is_left_alone_unless_a_file_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("celeba", tmp_path / "set")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    before = content(tmp_path)
    capsys.readouterr()
    assert make("celeba", tmp_path / "set") == 0
    assert "already there" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in times}
    (tmp_path / "set/CelebA-HQ-img/1.jpg").unlink()
    assert make("celeba", tmp_path / "set") == 0
    assert "2 train, 1 val, 1 test" in capsys.readouterr().out
    assert content(tmp_path) == before


def recipe(dataset: str, seed: int = 0) -> dict[str, Any]:
    """The parameters of the small set."""
    version = synthetic.generator(dataset).version
    return {"kind": f"synthetic-{dataset}", "counts": COUNTS, "size": 16, "seed": seed, "generator_version": version}


def test_a_set_of_an_earlier_version_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those had their parameters in ``synthetic.json``."""
    synthetic.generator("nyu").write(tmp_path, COUNTS, (16, 16), 0)
    (tmp_path / "synthetic.json").write_text(json.dumps(recipe("nyu")))
    assert make("nyu", tmp_path) == 0
    assert "already there" in capsys.readouterr().out
    assert make("celeba", tmp_path, "--overwrite") == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"CelebA-HQ-img", "CelebA-HQ-segmask"}


@pytest.mark.parametrize("marker", ["nonsense", '{"kind": "synthetic-nyu", "counts": {"train": "../x"}}'])
def test_a_folder_of_something_else_is_never_touched(marker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0000.jpg").write_text("mine")
    (tmp_path / "synthetic.json").write_text(marker)
    before = content(tmp_path)
    for more in ((), ("--overwrite",)):
        assert make("nyu", tmp_path, *more) == 2
        assert "did not make" in refused(capsys)
        assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("option", "value"),
    [("--size", "15"), ("--size", "4096"), ("--size", "big"), ("--train", "0"), ("--train", "-3"), ("--val", "-1")]
    + [("--test", "1.5"), ("--seed", "-1"), ("--train", "99999"), ("--val", "10000"), ("--frames", "12"), ("--frames", "2")]
    + [("--dataset", "moon")],
)
def test_a_bad_value_is_one_sentence_and_nothing_is_written(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make("nyu", tmp_path / "new" / "set", option, value) == 2
    assert option in refused(capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_set_is_none_until_it_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = synthetic.generator("nyu")

    def write(root: Path, *_: Any, progress: Any) -> None:
        (root / "images/0000.jpg").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(synthetic, "generator", lambda dataset: maker._replace(write=write))
        assert make("nyu", tmp_path) == 130
    assert refused(capsys) == "interrupted; the same command draws the set again\n"
    assert [row.path for row in problems_in(tmp_path) if "not finished" in row.problem] == [".preparing.json"]
    assert make("nyu", tmp_path) == 0
    assert problems_in(tmp_path) == []


def test_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = synthetic.generator("nyu")

    def write(*_: Any, progress: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(synthetic, "generator", lambda dataset: maker._replace(write=write))
    assert make("nyu", tmp_path / "set") == 1
    assert refused(capsys) == f"error: {tmp_path / 'set'} cannot be written (No space left on device)\n"
