"""The folder of a prepared set: continued, finished, never a stranger's file lost."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from datasets.preparation.workspace import BEGUN, LOCK, MANIFEST, describe_source, finish, preparing
from utils.errors import DataError

RECIPE: dict[str, Any] = {"command": "test", "size": 3, "sources": {"a": {"bytes": 1}}}
OTHER = {**RECIPE, "size": 4}


def make(out: Path, recipe: dict[str, Any] = RECIPE, overwrite: bool = False, text: str = "whole") -> bool:
    """A whole preparation of one file in one folder; True if there was something to do."""
    with preparing(out, recipe, overwrite, ["images"]) as begun:
        if begun:
            (out / "images/1").write_text(text)
            finish(out, recipe, {"count": 1})
    return begun


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


def test_a_finished_set_has_its_manifest_and_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "set"
    assert make(out)
    assert names(out) == {"images/1", MANIFEST}
    assert json.loads((out / MANIFEST).read_text()) == {"recipe": RECIPE, "count": 1, "contents": ["images"]}
    before = {path: path.stat().st_mtime_ns for path in (out / "images/1", out / MANIFEST)}
    assert not make(out)
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupted_set_is_continued_without_the_halves(overwrite: bool, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), preparing(tmp_path, RECIPE, False, ["images"]) as begun:
        assert begun
        (tmp_path / "images/1").write_text("whole")
        (tmp_path / "images/.2.77.unfinished").write_text("ha")
        (tmp_path / ".manifest.json.77.unfinished").write_text("ha")
        raise KeyboardInterrupt
    assert not (tmp_path / MANIFEST).exists()
    with preparing(tmp_path, RECIPE, overwrite, contents=["images"]) as begun:
        assert begun
        assert names(tmp_path) == {"images/1", BEGUN}
        finish(tmp_path, RECIPE, {})
    assert names(tmp_path) == {"images/1", MANIFEST}


def test_another_recipe_needs_overwrite(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(
        DataError, match=r"--out .*: holds a set made with another value of size; choose another folder, or pass --overwrite"
    ):
        make(tmp_path, OTHER)
    assert (tmp_path / "images/1").read_text() == "whole"
    assert make(tmp_path, OTHER, overwrite=True, text="new")
    assert (tmp_path / "images/1").read_text() == "new"
    assert json.loads((tmp_path / MANIFEST).read_text())["recipe"] == OTHER


def test_an_unfinished_set_of_another_recipe_needs_overwrite(tmp_path: Path) -> None:
    with preparing(tmp_path, RECIPE, False, ["images"]):
        (tmp_path / "images/old").write_text("old")
    with pytest.raises(DataError, match="holds an unfinished set made with another value of size"):
        make(tmp_path, OTHER)
    assert make(tmp_path, OTHER, overwrite=True)
    assert names(tmp_path) == {"images/1", MANIFEST}


@pytest.mark.parametrize("contents", [None, "images, mine.txt"])
def test_a_manifest_that_does_not_say_what_is_its_own_does_not_say_that_all_is(tmp_path: Path, contents: object) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / MANIFEST).write_text(json.dumps({"recipe": OTHER, "contents": contents}))
    with preparing(tmp_path, RECIPE, overwrite=True, contents=["images"]):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_overwriting_keeps_what_is_not_the_sets(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "images/old").write_text("old")
    make(tmp_path, OTHER, overwrite=True)
    assert names(tmp_path) == {"images/1", "notes.txt", MANIFEST}


def test_a_link_to_elsewhere_is_removed_not_followed(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    make(out)
    (out / "images").rename(elsewhere)
    (out / "images").symlink_to(elsewhere)
    assert make(out, OTHER, overwrite=True, text="new")
    assert (elsewhere / "1").read_text() == "whole"
    assert not (out / "images").is_symlink()


@pytest.mark.parametrize("at", ["images", "images/1", MANIFEST])
def test_an_interrupted_overwriting_goes_on(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is gone already: no half of the old set is taken for a part of the new one, and nothing is refused."""
    make(tmp_path)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if at == "images":
            patched.setattr("shutil.rmtree", interrupted)
        elif at == MANIFEST:
            patched.setattr(Path, "unlink", interrupted)
        else:
            patched.setattr("shutil.rmtree", lambda path: (Path(path, "1").unlink(), interrupted()))
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, OTHER, overwrite=True)
    if at == MANIFEST:  # the old set is whole: it is still one
        assert not make(tmp_path)
    else:
        (tmp_path / "images" / "rest").write_text("old")
        assert make(tmp_path, OTHER, text="new")
        assert names(tmp_path) == {"images/1", MANIFEST}


@pytest.mark.parametrize("content", [None, "nonsense", '{"recipe": 3}'])
def test_a_folder_of_something_else_is_never_touched(content: str | None, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    for overwrite in (False, True):
        with pytest.raises(DataError, match="holds something that this command did not make"):
            make(tmp_path, overwrite=overwrite)
        assert before == {path: path.read_text() for path in tmp_path.iterdir() if path.name != LOCK}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(DataError, match=r"set: is a file, not a folder"):
        make(tmp_path / "set")
    with pytest.raises(OSError, match=r"set/below cannot be written \(Not a directory\)"):
        make(tmp_path / "set" / "below")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="cannot be written"):
            make(tmp_path / "set")
    finally:
        tmp_path.chmod(0o700)


def hold(out: Path, held: Any, release: Any) -> None:
    """Another process that prepares ``out``."""
    with preparing(out, RECIPE, False, ["images"]):
        held.set()
        release.wait(30)


def test_two_processes_do_not_prepare_one_folder(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(30)
    with pytest.raises(DataError, match="another process is preparing this folder"):
        make(tmp_path)
    release.set()
    other.join()
    assert make(tmp_path)


def test_a_source_is_its_name_size_and_checksum(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert describe_source(tmp_path / "file") == {"file": "file", "bytes": 3, "sha256": digest}
