"""Record in a study's folder: all that is needed to continue the study, or to report it."""

from pathlib import Path

import pytest

from study.record import Command, read_record, write_record
from tests.small import listing
from tests.studies import make_study
from utils.errors import ConfigError, TrialError, UserError


def test_a_record_is_the_study_its_file_and_its_commands(work: Path) -> None:
    study = make_study(work, comb_loss="wt_sum", loss_weights={"segmentsemantic": 1.0, "depth_euclidean": 2.0})
    study.folder.mkdir(parents=True)
    for command in ("first", "second", "first"):
        write_record(study, Command(command, work / "study.yaml"))
    record = read_record(study.folder)
    assert record.study == study
    assert record.commands == ("first", "second")
    assert record.configs == {"study.yaml": (work / "study.yaml").read_text()}


def test_a_record_can_be_moved(work: Path) -> None:
    study = make_study(work)
    study.folder.mkdir(parents=True)
    write_record(study, Command("typed", work / "study.yaml"))
    moved = study.folder.rename(work / "moved")
    (moved / "study.yaml").unlink()
    record = read_record(moved)
    assert [run.folder for run in record.study.runs] == [moved / run.name for run in study.runs]
    assert [run.name for run in record.study.runs] == [run.name for run in study.runs]
    assert record.configs == {}


def test_commands_of_a_damaged_record_are_lost(work: Path) -> None:
    study = make_study(work)
    study.folder.mkdir(parents=True)
    for content in ("{", '{"commands": 5}', "[]"):
        (study.folder / "study.json").write_text(content)
        write_record(study, Command("typed", work / "study.yaml"))
        assert read_record(study.folder).commands == ("typed",)


def test_what_is_no_study_is_refused_with_the_studies_that_are_there(work: Path) -> None:
    study = make_study(work)
    study.folder.mkdir(parents=True)
    write_record(study, Command("typed", work / "study.yaml"))
    before = listing(work)
    for folder in (study.folder.parent, study.folder.with_name("other")):
        with pytest.raises(
            UserError, match=rf"{folder}( holds no study.json, |; a study's is ).*; studies there: {study.folder}$"
        ):
            read_record(folder)
    with pytest.raises(UserError, match=r"there is no folder .*at all; a study's is results/studies/<name>$"):
        read_record(work / "nowhere" / "at all")
    assert listing(work) == before


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"study": "tiny", "margin": 1, "settings": [{"variant": ""}]}'])
def test_a_damaged_record_is_refused_with_its_name(content: str, work: Path) -> None:
    (work / "study.json").write_text(content)
    with pytest.raises((ConfigError, TrialError), match=str(work)):
        read_record(work)
