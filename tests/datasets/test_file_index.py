"""A frame's file: capital letters do not matter, hidden files do not count, two are refused."""

from pathlib import Path

import pytest

from datasets.file_index import Place, double_files, files_by_frame, index_files, named_after_frame
from utils.errors import DataError

NAMES = named_after_frame((".jpg", ".png"))


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def test_the_type_may_be_in_capital_letters_and_other_files_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.PNG", "c.txt", "._a.jpg", ".jpg", "a.b.Jpg")
    assert files_by_frame(Place(tmp_path, NAMES)) == {
        "a": [tmp_path / "a.jpg"],
        "b": [tmp_path / "b.PNG"],
        "a.b": [tmp_path / "a.b.Jpg"],
    }


def test_two_files_are_refused_where_their_frame_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg", "b.png", "b.JPG")
    assert index_files(Place(tmp_path, NAMES), ["a"], "the images") == {"a": tmp_path / "a.jpg"}
    with pytest.raises(DataError, match=r"/b\.jpg is there as well as b\.JPG; expected one of them \(1 of 2 problems\)$"):
        index_files(Place(tmp_path, NAMES), ["a", "b"], "the images")
    assert [problem.path for problem in double_files(files_by_frame(Place(tmp_path, NAMES))["b"])] == [
        str(tmp_path / "b.jpg"),
        str(tmp_path / "b.png"),
    ]


def test_a_missing_file_is_named_as_it_is_usually_called(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    with pytest.raises(
        DataError, match=r"/b \(\.jpg or \.png\) is missing, needed for the images; 1 of 2 frames have no such file"
    ):
        index_files(Place(tmp_path, NAMES), ["a", "b"], "the images")
    with pytest.raises(DataError, match=r"nowhere: there is no such folder, needed for the images$"):
        index_files(Place(tmp_path / "nowhere", NAMES), ["a"], "the images")
