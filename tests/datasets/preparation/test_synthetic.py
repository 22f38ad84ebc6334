"""Synthetic sets: whole or nothing, one sentence for a mistake, never a user's file lost."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from datasets.preparation import synthetic
from tests.datasets.preparation.command import exit_code, refused

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
    marker = json.loads(made.pop("synthetic.json"))
    assert made == content(tmp_path / "expected")
    assert set(made) == set(maker.files(COUNTS))
    assert marker == {
        "kind": f"synthetic-{dataset}",
        "counts": COUNTS,
        "size": 16,
        "seed": 7,
        "generator_version": maker.version,
    }
    assert [path.name for path in out.parent.iterdir()] == ["set"]


@pytest.mark.parametrize(("name", "file"), [("NYU", "gt_sets/train.txt"), ("celebA", "CelebA-HQ-img/0.jpg")])
def test_a_data_set_may_be_called_as_in_the_configuration(name: str, file: str, tmp_path: Path) -> None:
    assert make(name, tmp_path / "set") == 0
    assert (tmp_path / "set" / file).is_file()


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
    assert exit_code("synthetic", "--dataset", "nyu", "--train", "1", "--val", "0", "--test", "2", "--size", "16") == 0
    assert (tmp_path / "data/synthetic_nyu/gt_sets/test.txt").read_text() == "0001\n0002\n"


def test_the_same_set_again_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("celeba", tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    capsys.readouterr()
    assert make("celeba", tmp_path / "set") == 0
    assert "already there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}


def test_other_parameters_need_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    make("celeba", out)
    before = content(out)
    capsys.readouterr()
    assert make("celeba", out, "--seed", "1") == 2
    assert "other parameters" in refused(capsys) and content(out) == before
    assert make("nyu", out, "--seed", "1", "--overwrite") == 0
    assert (out / "gt_sets/train.txt").is_file() and not (out / "CelebA-HQ-img").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_set_with_a_file_missing_is_not_called_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("celeba", tmp_path / "set")
    (tmp_path / "set/CelebA-HQ-img/1.jpg").unlink()
    capsys.readouterr()
    assert make("celeba", tmp_path / "set") == 2
    assert "files missing" in refused(capsys)


def test_overwriting_keeps_what_a_user_put_there(tmp_path: Path) -> None:
    out = tmp_path / "set"
    make("celeba", out)
    mine = ("notes.txt", "CelebA-HQ-img/holiday.jpg", "deep/er/file")
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"my {name}")
    (out / "empty").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (out / "link").symlink_to(outside)
    assert make("celeba", out, "--seed", "1", "--overwrite") == 0
    assert [(out / name).read_text() for name in mine] == [f"my {name}" for name in mine]
    assert (out / "empty").is_dir() and (out / "link").is_symlink() and (outside / "precious").read_text() == "mine"
    assert json.loads((out / "synthetic.json").read_text())["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "set"]


def test_overwriting_stops_before_a_users_file_of_the_same_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    make("celeba", out)
    (out / "CelebA-HQ-img/4.jpg").write_text("a fifth face of my own")
    before = content(out)
    capsys.readouterr()
    assert make("celeba", out, "--train", "3", "--overwrite") == 2
    assert "4.jpg" in refused(capsys) and content(out) == before


def test_overwriting_does_not_follow_a_linked_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    make("celeba", out)
    (out / "CelebA-HQ-img").rename(elsewhere)
    (out / "CelebA-HQ-img").symlink_to(elsewhere)
    before = content(elsewhere)
    capsys.readouterr()
    assert make("celeba", out, "--seed", "1", "--overwrite") == 2
    assert "CelebA-HQ-img" in refused(capsys) and content(elsewhere) == before


@pytest.mark.parametrize("marker", [None, "{}", "nonsense", '{"kind": "synthetic-nyu", "counts": {"train": "../x"}}'])
def test_a_folder_of_something_else_is_never_touched(
    marker: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    (out / "images").mkdir(parents=True)
    (out / "images/0000.jpg").write_text("mine")
    if marker is not None:
        (out / "synthetic.json").write_text(marker)
    before = content(out)
    for more in ((), ("--overwrite",)):
        assert make("nyu", out, *more) == 2
        assert "did not make" in refused(capsys) and content(out) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").write_text("mine")
    assert make("nyu", tmp_path / "set", "--overwrite") == 2
    assert "is a file" in refused(capsys) and (tmp_path / "set").read_text() == "mine"
    assert make("nyu", tmp_path / "set" / "below") == 1
    assert "cannot be written" in refused(capsys)


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


@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_run_leaves_everything_as_it_was(
    existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "set"
    if existing:
        make("nyu", out)
    before = content(tmp_path)
    maker = synthetic.generator("nyu")

    def write(root: Path, *_: Any, progress: Any) -> None:
        (root / "images").mkdir()
        (root / "images/0000.jpg").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "generator", lambda dataset: maker._replace(write=write))
    capsys.readouterr()
    assert make("nyu", out, "--seed", "1", "--overwrite") == 130
    assert refused(capsys) == "interrupted; nothing was written\n"
    assert content(tmp_path) == before
    assert sorted(path.name for path in tmp_path.rglob(".*")) == []
    assert out.exists() == existing and out.parent.exists() == existing


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    try:
        assert make("nyu", tmp_path / "set") == 1
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written" in refused(capsys)
