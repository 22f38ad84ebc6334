"""The command line that prepares data: whole sets or nothing, one sentence for a mistake, never a user's file lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import prepare_data

ROOT = Path(prepare_data.__file__).parent
SMALL = ("--train", "2", "--val", "1", "--test", "1", "--size", "16")


def run(kind: str, out: Path, *more: str) -> int:
    """The exit code of one small run."""
    try:
        return prepare_data.main([kind, "--out", str(out), *SMALL, *more])
    except SystemExit as leaving:
        return int(leaving.code or 0)


def content(folder: Path) -> dict[str, bytes]:
    """All files under a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr: one line, and nothing on stdout."""
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize("kind", prepare_data.KINDS)
def test_a_set_is_made_with_its_parameters_beside_it(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "set"
    assert run(kind, out) == 0
    maker = prepare_data.generator(kind)
    counts = {"train": 2, "val": 1, "test": 1}
    assert set(content(out)) == {*maker.files(counts), "synthetic.json"}
    marker = json.loads((out / "synthetic.json").read_text())
    assert marker == {"kind": kind, "counts": counts, "size": 16, "seed": 0, "generator_version": maker.version}
    assert [path.name for path in out.parent.iterdir()] == ["set"]


def test_the_same_set_again_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("synthetic-celeba", tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    capsys.readouterr()
    assert run("synthetic-celeba", tmp_path / "set") == 0
    assert "already there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}


def test_other_parameters_need_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    run("synthetic-celeba", out)
    before = content(out)
    capsys.readouterr()
    assert run("synthetic-celeba", out, "--seed", "1") == 2
    assert "other parameters" in refused(capsys) and content(out) == before
    assert run("synthetic-nyu", out, "--seed", "1", "--overwrite") == 0
    assert (out / "gt_sets/train.txt").is_file() and not (out / "CelebA-HQ-img").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_set_with_a_file_missing_is_not_called_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("synthetic-celeba", tmp_path / "set")
    (tmp_path / "set/CelebA-HQ-img/1.jpg").unlink()
    capsys.readouterr()
    assert run("synthetic-celeba", tmp_path / "set") == 2
    assert "files missing" in refused(capsys)


def test_overwriting_keeps_what_a_user_put_there(tmp_path: Path) -> None:
    out = tmp_path / "set"
    run("synthetic-celeba", out)
    mine = ("notes.txt", "CelebA-HQ-img/holiday.jpg", "deep/er/file")
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"my {name}")
    (out / "empty").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (out / "link").symlink_to(outside)
    assert run("synthetic-celeba", out, "--seed", "1", "--overwrite") == 0
    assert [(out / name).read_text() for name in mine] == [f"my {name}" for name in mine]
    assert (out / "empty").is_dir() and (out / "link").is_symlink() and (outside / "precious").read_text() == "mine"
    assert json.loads((out / "synthetic.json").read_text())["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "set"]


def test_overwriting_stops_before_a_users_file_of_the_same_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    run("synthetic-celeba", out)
    (out / "CelebA-HQ-img/4.jpg").write_text("a fifth face of my own")
    before = content(out)
    capsys.readouterr()
    assert run("synthetic-celeba", out, "--train", "3", "--overwrite") == 2
    assert "4.jpg" in refused(capsys) and content(out) == before


def test_overwriting_does_not_follow_a_linked_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    run("synthetic-celeba", out)
    (out / "CelebA-HQ-img").rename(elsewhere)
    (out / "CelebA-HQ-img").symlink_to(elsewhere)
    before = content(elsewhere)
    capsys.readouterr()
    assert run("synthetic-celeba", out, "--seed", "1", "--overwrite") == 2
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
        assert run("synthetic-nyu", out, *more) == 2
        assert "did not make" in refused(capsys) and content(out) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").write_text("mine")
    assert run("synthetic-nyu", tmp_path / "set", "--overwrite") == 2
    assert "is a file" in refused(capsys) and (tmp_path / "set").read_text() == "mine"
    assert run("synthetic-nyu", tmp_path / "set" / "below") == 1
    assert "cannot be written" in refused(capsys)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--size", "15"), ("--size", "4096"), ("--size", "big"), ("--train", "0"), ("--train", "-3"), ("--val", "-1")]
    + [("--test", "1.5"), ("--seed", "-1"), ("--train", "99999"), ("--val", "10000")],
)
def test_a_bad_value_is_one_sentence_and_nothing_is_written(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("synthetic-nyu", tmp_path / "new" / "set", option, value) == 2
    assert option in refused(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_run_leaves_everything_as_it_was(
    existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "set"
    if existing:
        run("synthetic-nyu", out)
    before = content(tmp_path)
    maker = prepare_data.generator("synthetic-nyu")

    def write(root: Path, *_: Any, progress: Any) -> None:
        (root / "images").mkdir()
        (root / "images/0000.jpg").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_data, "generator", lambda kind: maker._replace(write=write))
    capsys.readouterr()
    assert run("synthetic-nyu", out, "--seed", "1", "--overwrite") == 130
    assert "interrupted" in refused(capsys)
    assert content(tmp_path) == before
    assert sorted(path.name for path in tmp_path.rglob(".*")) == []
    assert out.exists() == existing and out.parent.exists() == existing


def test_help_needs_no_heavy_imports() -> None:
    heavy = "{'numpy', 'torch', 'rich', 'PIL'}"
    code = f"import sys, prepare_data; prepare_data.build_parser(); print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    try:
        assert run("synthetic-nyu", tmp_path / "set") == 1
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written" in refused(capsys)
