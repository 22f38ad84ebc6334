"""The command ``verify``, from the command line to its table."""

from dataclasses import replace
from pathlib import Path

import pytest

from datasets.preparation import verify
from tasks.data_sets import DATA_SETS, LabelSet
from tests.datasets.frames import write_nyu
from tests.datasets.preparation.command import exit_code, refused
from tests.datasets.preparation.verification.damage import in_this_process


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes, but where a test asks for them."""
    monkeypatch.setattr(verify, "in_processes", in_this_process)


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


@pytest.mark.parametrize("processes", [False, True])
def test_problems_are_a_table_and_1(
    processes: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if processes:
        monkeypatch.undo()
    write_nyu(tmp_path, {"train": ["a", "b"], "test": ["c"]}, size=(16, 32))
    (tmp_path / "images/a.jpg").write_bytes(b"")
    (tmp_path / "depth/c.npy").unlink()
    assert exit_code("verify", "--data_dir", tmp_path, "--workers", "1") == 1
    head, depth, image, conclusion = capsys.readouterr().out.splitlines()
    assert head.split() == ["path", "problem", "expected"]
    assert depth.split("  ")[0] == str(tmp_path / "depth/c (.npy or .mat)")
    assert image.split("  ")[0] == str(tmp_path / "images/a.jpg")
    assert conclusion.startswith(f"{tmp_path}: 2 problems in 2 files; 14 files read in ")


def test_the_data_set_is_guessed_aloud_or_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = LabelSet(("wall", "floor"), first=1, unlabelled=(0,))
    monkeypatch.setitem(DATA_SETS, "FLATS", replace(DATA_SETS["NYU"], name="FLATS", label_sets={"FLATS": few}))
    write_nyu(tmp_path, size=(16, 32))
    assert exit_code("verify", "--data_dir", tmp_path) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}: taken for NYU; --dataset says which of NYU, FLATS\n")
    assert exit_code("verify", "--data_dir", tmp_path, "--dataset", "FLATS") == 1
    said = capsys.readouterr().out
    assert "taken for" not in said and "0 (unlabelled) or 1..2" in said
    assert exit_code("verify", "--data_dir", tmp_path, "--dataset", "celebA") == 2
    assert "--dataset celebA: has the layout CelebAMask-HQ, and " in refused(capsys)


@pytest.mark.parametrize("folders", [[], ["images"], ["gt_sets"], ["photos/CelebA-HQ-img"]])
def test_a_folder_that_is_no_data_set_is_one_sentence(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    assert exit_code("verify", "--data_dir", tmp_path) == 2
    said = refused(capsys)
    assert f"{tmp_path}: is no data set; looked for NYUD_MT (gt_sets and images), CelebAMask-HQ (CelebA-HQ-img), MTAN (" in said
    assert ("did you mean" in said) == ("photos" in str(folders))
    assert exit_code("verify", "--data_dir", tmp_path / "nowhere") == 2
    assert "no such folder" in refused(capsys)
