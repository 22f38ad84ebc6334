"""The command ``verify``, from the command line to its table."""

import json
import os
from pathlib import Path

import pytest

from tests.datasets.frames import write_celeba, write_nyu
from tests.datasets.preparation.command import exit_code, refused
from tests.datasets.preparation.verification.damage import in_this_process, problems_in


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes, but where a test asks for them."""
    monkeypatch.setattr("datasets.preparation.verification.workers.examine_all", in_this_process)


def test_a_whole_set_is_a_summary_and_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nyu(tmp_path, size=(16, 32))
    (tmp_path / "images/extra.jpg").touch()
    assert exit_code("verify", "--data_dir", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"{tmp_path}: NYU-v2 in the NYUD_MT layout, nothing is wrong",
        "  frames: 7 train, 3 val, 2 test; 1 images are in no split",
        "  images: 16 x 32 (height x width)",
        "  targets: segmentation (.png), depth (.npy), normals (.npy), edge (.npy)",
    ]
    assert lines[4].startswith("  60 files read in ")


def test_problems_are_a_table_and_1_and_processes_find_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nyu(tmp_path, size=(16, 32))
    (tmp_path / "images/a0.jpg").write_bytes(b"")
    (tmp_path / "depth/c1.npy").unlink()
    said = []
    for workers in ("in this process", "1", "2"):
        if workers.isdigit():
            monkeypatch.undo()
        assert exit_code("verify", "--data_dir", tmp_path, *(["--workers", workers] if workers.isdigit() else [])) == 1
        said.append(capsys.readouterr().out.splitlines())
    head, depth, image, conclusion = said[0]
    assert head.split() == ["path", "problem", "expected"]
    assert depth.split("  ")[0] == str(tmp_path / "depth/c1.npy")
    assert image.split("  ")[0] == str(tmp_path / "images/a0.jpg")
    assert conclusion.startswith(f"{tmp_path}: 2 problems in 2 files; 59 files read in ")
    assert said[1][:3] == said[2][:3] == said[0][:3]


@pytest.mark.parametrize("there", [[], ["images"], ["gt_sets"], ["photos/CelebA-HQ-img"]])
def test_a_folder_that_is_no_data_set_is_one_sentence(
    there: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    assert exit_code("verify", "--data_dir", tmp_path) == 2
    said = refused(capsys)
    assert f"{tmp_path}: is no data set; looked for NYUD_MT (gt_sets and images), CelebAMask-HQ (CelebA-HQ-img), MTAN (" in said
    assert ("did you mean" in said) == ("photos" in str(there))
    assert exit_code("verify", "--data_dir", tmp_path / "nowhere") == 2
    assert "no such folder" in refused(capsys)


@pytest.mark.parametrize(("dataset", "frames"), [("nyu", 5), ("celebA", 5)])
def test_a_synthetic_set_is_what_its_marker_says(dataset: str, frames: int, tmp_path: Path) -> None:
    arguments = ("--dataset", dataset, "--train", "3", "--val", "1", "--test", "1", "--size", "16", "--out", tmp_path / "set")
    assert exit_code("synthetic", *arguments) == 0
    assert problems_in(tmp_path / "set") == []
    marker = tmp_path / "set/synthetic.json"
    marker.write_text(marker.read_text().replace('"train": 3', '"train": 4'))
    assert problems_in(tmp_path / "set") == [("synthetic.json", "number of frames in train: 3", "4, as it says")]


@pytest.mark.parametrize("key", ["counts", "splits"])
def test_a_manifest_with_other_counts_is_a_row(key: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"recipe": {}, key: {"train": 3, "val": 2, "test": 2}}))
    assert problems_in(tmp_path) == []
    manifest.write_text(json.dumps({"recipe": {}, key: {"train": 3, "val": 1, "test": 2}}))
    assert problems_in(tmp_path) == [("manifest.json", "number of frames in val: 2", "1, as it says")]
    manifest.write_text("{")
    assert [row.path for row in problems_in(tmp_path)] == ["manifest.json"]


def test_what_a_preparation_left_behind_is_listed(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(16, 32))
    (tmp_path / ".preparing.json").write_text("{}")
    (tmp_path / "depth" / f".a0.npy.{os.getpid()}.unfinished").write_bytes(b"half")
    (tmp_path / "depth" / "finished").write_bytes(b"whole")
    removed = tmp_path / ".old.7.unfinished"
    removed.mkdir()
    (removed / ".b0.npy.7.unfinished").touch()
    folder, begun, file = problems_in(tmp_path)
    assert begun.path == ".preparing.json" and "not finished" in begun.problem
    assert folder.path == removed.name and "never finished" in folder.problem
    assert file.path.startswith("depth/.a0.npy") and "never finished" in file.problem
    (tmp_path / "manifest.json").write_text('{"recipe": {}}')
    assert [row.path for row in problems_in(tmp_path)] == [folder.path, file.path]
