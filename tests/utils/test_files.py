"""Files are whole or not there, whatever ends the writing; what is left of it goes away."""

import codecs
import contextlib
import errno
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.disks import small_disk
from utils import files
from utils.errors import DataError, TextError
from utils.files import (
    BLOCK_BYTES,
    BLOCKS,
    append_bytes,
    evenly_spread,
    fingerprint,
    is_unfinished,
    numbered_lines,
    read_text,
    remove_folder,
    remove_unfinished,
    replacing,
    unwritable,
    write_text,
)

NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a file.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("né")
        assert temporary.parent == tmp_path, "a renaming is atomic within a folder"
        assert is_unfinished(temporary)
        assert path.read_text() == "old"
    assert path.read_text() == "né"
    write_text(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    assert names(tmp_path) == ["a file.txt"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves an empty file under the name."""
    done = []
    fsync, replace = os.fsync, os.replace
    kinds = {True: "folder", False: "file"}
    monkeypatch.setattr(os, "fsync", lambda fd: done.append(kinds[os.path.isdir(f"/proc/self/fd/{fd}")]) or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("name") or replace(*paths))
    write_text(tmp_path / "x", "text")
    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("something else")])
def test_whatever_ends_the_writing_the_old_file_stays_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x"
    write_text(path, "old")
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind) as raised, replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert raised.value is error or isinstance(error, type), "an error that is not the system's is passed on as it is"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_full_disk_is_a_sentence_that_names_the_file(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "x"
    if exists:
        write_text(path, "old")
    refusal = r"^/.*/x cannot be written \(File too large\); what was there before is unchanged$"
    with pytest.raises(OSError, match=refusal) as error, small_disk(1000):
        write_text(path, "long" * 1000)
    assert error.value.errno == errno.EFBIG
    assert names(tmp_path) == ["x"] * exists
    assert not exists or path.read_text() == "old"


def _follow_up() -> None:
    """Close what could not be written, and fail at that in an own way, as torch and matplotlib do."""
    try:
        raise NO_ROOM
    finally:
        raise zlib.error("inconsistent stream state")


def test_an_error_that_follows_the_systems_is_the_systems(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"x cannot be written \(No space left on device\)"), replacing(tmp_path / "x"):
        _follow_up()
    assert not names(tmp_path)


def test_an_error_that_follows_an_interruption_is_the_interruption(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x"):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos")
    assert not names(tmp_path)


def test_an_error_that_was_dealt_with_is_not_the_systems(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^frame 3$"), replacing(tmp_path / "x"):
        try:
            raise NO_ROOM
        except OSError:
            raise DataError("frame 3") from None


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_only_at_the_end_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "x"
    write_text(path, "old")

    def fail(*args: object) -> None:
        raise NO_ROOM

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"x cannot be written \(No space left on device\)"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere/x cannot be written \(No such file or directory\)"):
        write_text(tmp_path / "nowhere" / "x", "text")


LEFT = [".x.csv.17.unfinished", ".x.csv.4194304.unfinished", ".y.csv.17.unfinished"]
KEPT = ["x.csv", ".x.csv", "x.csv.17.unfinished", ".x.csv.17.unfinished.csv", ".x.csv.a.unfinished", "..17.unfinished"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (*LEFT, *KEPT):
        (tmp_path / name).touch()
    (tmp_path / ".old_trial_0.3.unfinished").mkdir()
    (tmp_path / ".old_trial_0.3.unfinished" / "last.pt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / ".link.5.unfinished").symlink_to(tmp_path / "folder")
    remove_unfinished(tmp_path, r"x\.csv")
    assert names(tmp_path) == sorted([*LEFT[2:], *KEPT, ".old_trial_0.3.unfinished", "folder", ".link.5.unfinished"])
    remove_unfinished(tmp_path)
    assert names(tmp_path) == sorted([*KEPT, "folder"]), "what a link points at stays"
    remove_unfinished(tmp_path / "nowhere")


def test_a_folder_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, the removal leaves nothing under the name, and what it leaves is known as a leftover."""
    folder = tmp_path / "trial_0"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").touch()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files.shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        remove_folder(folder)
    (left,) = tmp_path.iterdir()
    assert is_unfinished(left)
    folder.mkdir()
    remove_unfinished(tmp_path)
    remove_folder(folder)
    assert not names(tmp_path)


def test_where_a_user_may_not_write_is_known_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    assert unwritable(tmp_path) is None
    assert unwritable(tmp_path / "a" / "b") is None
    assert unwritable(tmp_path / "file") == unwritable(tmp_path / "file" / "a" / "b") == tmp_path / "file"
    assert unwritable(tmp_path / "closed" / "a") == tmp_path / "closed"
    monkeypatch.chdir(tmp_path)
    assert unwritable(Path("closed/a")) is not None
    assert unwritable(Path("new")) is None
    assert names(tmp_path) == ["closed", "file"]


@pytest.mark.parametrize("write", [write_text, lambda path, text: append_bytes(path, text.encode())], ids=["write", "append"])
def test_a_planted_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], None]
) -> None:
    """Neither one under the name of the file, nor one under that of the temporary file, even if it had been guessed."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "x"
    guessed = files.unfinished(path)
    assert guessed != files.unfinished(path)
    monkeypatch.setattr(files, "unfinished", lambda path: guessed)
    for planted in (guessed, path):
        path.unlink(missing_ok=True)
        planted.symlink_to(precious)
        with contextlib.suppress(OSError):
            write(path, "planted")
        assert precious.read_text() == "mine"
        planted.unlink(missing_ok=True)
    write(path, "text")
    assert path.read_text() == "text"


def test_a_file_has_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "x", "text")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Text files of others


TEXT = "0001\nküche\n"


@pytest.mark.parametrize(
    "content",
    [TEXT.encode(), codecs.BOM_UTF8 + TEXT.encode(), TEXT.replace("\n", "\r\n").encode(), TEXT.replace("\n", "\r").encode()],
)
def test_a_text_is_the_same_with_and_without_a_mark_and_with_any_line_ends(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    assert read_text(tmp_path / "list.txt") == TEXT


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.encode("latin-1"), "Latin-1 or Windows-1252 (the byte FC in line 2)"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0", "a binary file"),
    ],
)
def test_what_is_no_utf_8_is_one_sentence_that_says_what_it_looks_like(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(TextError) as caught:
        read_text(path)
    assert (
        str(caught.value) == f"{path} is no UTF-8 text, it looks like {kind}; expected UTF-8: save it anew with that encoding"
    )


def test_a_text_that_the_system_does_not_give_is_not_one_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(FileNotFoundError):
        read_text(path)
    path.symlink_to(tmp_path / "gone.txt")
    with pytest.raises(TextError, match=rf"^{path} cannot be read \(No such file or directory\)$"):
        read_text(path)

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(TextError, match=rf"^{path} cannot be read \(Permission denied\)$"):
        read_text(path)


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\r\n  a b \r\n\t\r\nc")
    assert numbered_lines(tmp_path / "list.txt") == [(2, "a b"), (4, "c")]


# What tells that a file is another one


@pytest.mark.parametrize("size", [0, 1, 1000, BLOCKS * BLOCK_BYTES])
def test_every_byte_of_a_small_file_counts(size: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(size))
    whole = fingerprint(path)
    fingerprints = {whole}
    for place in {0, size // 3, size - 1} if size else ():
        path.write_bytes(bytes(place) + b"\1" + bytes(size - place - 1))
        fingerprints.add(fingerprint(path))
    path.write_bytes(bytes(size + 1))
    fingerprints.add(fingerprint(path))
    assert len(fingerprints) == 2 + len({0, size // 3, size - 1} if size else ())


def test_of_a_large_file_evenly_spread_blocks_count(tmp_path: Path) -> None:
    path, size = tmp_path / "x", 2 * BLOCKS * BLOCK_BYTES
    path.write_bytes(bytes(size))
    whole = fingerprint(path)
    seen = []
    for place in range(BLOCK_BYTES // 2, size, BLOCK_BYTES):
        path.write_bytes(bytes(place) + b"\1" + bytes(size - place - 1))
        seen.append(fingerprint(path) != whole)
    assert seen[0] and seen[-1] and BLOCKS <= sum(seen) < len(seen)
    assert all(any(seen[place : place + 3]) for place in range(len(seen) - 3))


def test_evenly_spread_items_begin_with_the_first_and_end_with_the_last() -> None:
    assert evenly_spread(range(5), 8) == [0, 1, 2, 3, 4]
    assert evenly_spread(range(100), 4) == [0, 33, 66, 99]
