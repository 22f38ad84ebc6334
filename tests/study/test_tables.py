"""The tables of a study on disk: what is written is read back, and what cannot be is told in a sentence."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.tables import HEADS, PARTS, StudyTables, empty, paths
from utils.errors import UserError

_COLUMNS = HEADS["summary"][1:-1]
_TASKS = ("depth_euclidean",)
IDENTITY = dict(zip(_COLUMNS, ("depth_dense", "", "singletask", _TASKS, False, "", np.nan, np.nan), strict=True))
SPARSE = dict(zip(_COLUMNS, ("depth_l1_l2_target0.7", "NA", "singletask", _TASKS, True, "l1_l2", np.nan, 0.7), strict=True))


def example() -> StudyTables:
    """Two settings; one metric has an awkward value in each run."""
    values = (1 / 3, np.nan, -np.inf, 1e-300)
    runs = [
        {
            **{"study": "s", **identity, "trial": trial, "seed": trial, "metric": "depth_euclidean_abs_err"},
            **{"value": value, "unit": "", "better": "down", "main": True},
        }
        for (identity, trial), value in zip([(IDENTITY, 0), (IDENTITY, 1), (SPARSE, 0), (SPARSE, 1)], values, strict=True)
    ]
    summary = [
        {"study": "s", **IDENTITY, "num_trials": 2, "delta_MTL_mean": None, "twin": "", "claim": ""},
        {"study": "s", **SPARSE, "num_trials": 2, "delta_MTL_mean": -1.25, "twin": "depth_dense", "claim": "holds"},
    ]
    curves = [{"setting": "depth_dense", "trial": 0, "epoch": epoch, "metric": "train_loss", "value": 0.5} for epoch in (1, 2)]
    layers = [{**dict(zip(HEADS["layers"], row, strict=True))} for row in [("depth_dense", 0, "conv1", "stem", 3, 3)]]
    tables = [
        pd.DataFrame(rows, columns=HEADS[part]) for part, rows in (("runs", runs), ("curves", curves), ("layers", layers))
    ]
    return StudyTables("s", tables[0], pd.DataFrame(summary).assign(baseline_settings=[("a", "b"), ()]), tables[1], tables[2])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = example()
    assert written.write(tmp_path / "new" / "folder") == list(paths(tmp_path / "new" / "folder", "s").values())
    read = StudyTables.read(tmp_path / "new" / "folder", "s")
    for part in PARTS:
        before, after = getattr(written, part), getattr(read, part)
        assert list(before.columns) == list(after.columns)
        pd.testing.assert_frame_equal(before, after, check_dtype=False, rtol=1e-9, atol=0)
    assert read.name == "s"
    assert read.settings == ["depth_dense", "depth_l1_l2_target0.7"]


def test_empty_text_is_text_and_a_word_that_looks_like_nothing_is_a_word(tmp_path: Path) -> None:
    example().write(tmp_path)
    summary = StudyTables.read(tmp_path, "s").summary
    for column, text in {"variant": "NA", "penalty": "l1_l2", "twin": "depth_dense", "claim": "holds"}.items():
        assert list(summary[column]) == ["", text]
    assert summary["sparse"].dtype == bool and list(summary["sparse"]) == [False, True]
    assert list(summary["tasks"]) == [("depth_euclidean",)] * 2
    assert list(summary["baseline_settings"]) == [("a", "b"), ()]
    assert summary["target_sparsity"].isna().tolist() == [True, False]


def test_a_study_in_which_nothing_is_finished(tmp_path: Path) -> None:
    nothing = StudyTables("s", empty("runs"), empty("summary"))
    nothing.write(tmp_path)
    read = StudyTables.read(tmp_path, "s")
    assert [len(getattr(read, part)) for part in PARTS] == [0] * 4
    assert read.settings == []


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_table_says_who_writes_it(part: str, tmp_path: Path) -> None:
    example().write(tmp_path)
    path = paths(tmp_path, "s")[part]
    path.unlink()
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: there is no such file; make_report\.py writes it$"):
        StudyTables.read(tmp_path, "s")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as a table"),
        (b"\xff\xfe\x00\x01", "cannot be read as a table"),
        (b"trial,seed\n0,0\n", "is no table of a study; it lacks the column 'setting'"),
        (b'setting,trial,epoch,metric,value\nx,0,1,train_loss,"0,5"\n', "column 'value' has '0,5'; expected a number"),
        (b"setting,trial,epoch,metric,value\nx,one,1,train_loss,0.5\n", "column 'trial' has 'one'; expected a number"),
    ],
)
def test_a_file_that_is_no_such_table_is_one_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    example().write(tmp_path)
    path = paths(tmp_path, "s")["curves"]
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        StudyTables.read(tmp_path, "s")
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)
