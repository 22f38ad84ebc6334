"""The command ``verify``, from the command line to its table."""

from dataclasses import replace
from pathlib import Path

import pytest

from datasets.preparation import verify
from datasets.synthetic.fields import write_fields
from tasks.data_sets import DATA_SETS, LabelSet
from tests.configs import make_config
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
    own = f"`prepare_data.py describe --data_dir {tmp_path}` writes a configuration, and verify takes it as --config_exp"
    assert (own in said) != ("photos" in str(folders))
    assert exit_code("verify", "--data_dir", tmp_path / "nowhere") == 2
    assert "no such folder" in refused(capsys)


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A configuration of own data, beside it."""
    write_fields(tmp_path / "data", {"train": 6, "val": 2, "test": 2}, (16, 16))
    tasks = {"crop": {"kind": "segmentation", "folder": "crop", "classes": ["soil", "maize", "weed"]}}
    tasks["height"] = {"kind": "regression", "folder": "height", "invalid": [0]}
    lists = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}
    values = {"dataset_name": "folders", "data_dir": str(tmp_path / "data"), "data_dir_NYU": None, "split_files": lists}
    make_config(task_list=list(tasks), tasks=tasks, **values).save(tmp_path / "own.yaml")
    return tmp_path / "own.yaml"


def test_own_data_are_explained_by_their_configuration(fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fields.parent / "data"
    assert exit_code("verify", "--config_exp", fields) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == [
        f"{root}: own data, as {fields} describes it, nothing is wrong",
        "  frames: 6 train, 2 val, 2 test; 0 images are in no split",
        "  images: 16 x 16 (height x width)",
        "  crop: 10 of 10 frames",
        "  height: 8 of 10 frames",
    ]
    assert exit_code("verify", "--config_exp", fields, "tasks.crop.classes=[soil, maize]", "--workers", "1") == 1
    said = capsys.readouterr().out
    assert "has the label 2" in said and "255 (unlabelled) or 0..1" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data_dir=nowhere",), "data_dir: nowhere is no folder; expected images and targets"),
        (("epohcs=3",), "did you mean 'epochs'?"),
        (("--dataset", "NYU"), "--dataset NYU: is for --data_dir; "),
        (("dataset_name=NYU", "task_list=[depth_euclidean]", "tasks=null", "split_files=null"), "; give --data_dir "),
    ],
)
def test_a_wrong_configuration_is_refused(
    arguments: tuple[str, ...], said: str, fields: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("verify", "--config_exp", fields, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_folder_alone_has_no_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("verify", "--data_dir", tmp_path, "epochs=3") == 2
    assert "epochs=3: needs --config_exp" in refused(capsys)
