"""A training that starts from a network that was trained before has all of it, and nothing of its optimizer."""

import logging
from pathlib import Path

import pytest
import torch

from datasets import Loaders
from engine import checkpoint as files
from engine import run_experiment
from engine.starting import check_start, start_from
from engine.tracking import Tracker
from engine.trainer import fit
from models import build_model
from tests.equality import equal
from tests.small import make_trial, small_config
from utils.errors import UserError


@pytest.fixture
def trained(rooms: Path, work: Path) -> Path:
    """The folder of a trial of one epoch."""
    config = small_config(rooms, work, Experiment_name="dense", epochs=1, keep_state=True)
    run_experiment(config, out_dir=work / "out")
    return config.trial_folder(0)


def test_the_whole_network_is_the_one_of_the_checkpoint(rooms: Path, work: Path, trained: Path) -> None:
    """Load a folder's best network, or a file."""
    for name, file in ((str(trained), files.BEST), (str(trained / files.LAST), files.LAST)):
        config = small_config(rooms, work, start_from=name, seed=5)
        model = build_model(config)
        assert str(trained / file) in start_from(model, config, 0)
        saved = files.load_tensors(trained / file)["model"]
        assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())


def test_a_trial_that_is_not_finished_is_not_started_from(rooms: Path, work: Path, trained: Path) -> None:
    (trained / files.TEST).unlink()
    for values in ({"start_from": str(trained)}, {"distill": {"from": str(trained)}}):
        with pytest.raises(UserError, match="dense_trial_0: this trial is not finished; resume it first"):
            check_start(small_config(rooms, work, **values))
    check_start(small_config(rooms, work, start_from=str(trained / files.BEST)))


def test_each_trial_may_start_from_its_own(rooms: Path, work: Path, trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place = str(trained).replace("trial_0", "trial_{trial}")
    config = small_config(rooms, work, start_from=place, num_trials=2, epochs=1)
    with pytest.raises(UserError, match=r"start_from: .*dense_trial_1.* there is no such file"):
        run_experiment(config, out_dir=work / "out")
    assert not config.trial_folder(0).exists()
    run_experiment(config.with_values(num_trials=1), out_dir=work / "out")
    assert f"small_trial_0 starts from {trained / files.BEST}" in caplog.text


def test_moments_are_fresh_and_a_resumed_trial_does_not_start_again(rooms: Path, work: Path, trained: Path) -> None:
    """Nor does it need the network any more."""
    folder = work / "copy"
    trained.rename(folder)
    config = small_config(rooms, work, start_from=str(folder), epochs=2)
    ends = []
    for interrupted in (False, True):
        values = config.with_values(checkpoint_folder=str(work / f"runs{interrupted}"))
        if interrupted:
            trial = make_trial(values.with_values(epochs=1))
            start_from(trial.model, values, 0)
            assert not trial.optimizer.state
            fit(trial, Tracker(), Loaders(trial.config))
            trial.config.with_values(epochs=1).save(trial.folder / files.CONFIG)
            folder.rename(work / "gone")
            with pytest.raises(UserError, match="start_from"):
                check_start(values)
            trial = make_trial(values)
            trial.load_state_dict(files.load_tensors(trial.folder / files.LAST))
            fit(trial, Tracker(), Loaders(trial.config))
        else:
            run_experiment(values, out_dir=work / "out")
        ends.append(files.load_tensors(values.trial_folder(0) / files.LAST)["model"])
    assert equal(*ends)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"head_width": 16}, r"does not fit: it heads\..* is \(.*\), expected \(16"),
        ({"task_list": ["depth_euclidean"], "setup": "singletask"}, "does not fit: it has heads.segmentsemantic"),
        ({"normalize": "imagenet"}, "does not fit: it lacks normalize.mean"),
        ({"start_from": "nowhere"}, "start_from: nowhere: there is no such file"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    rooms: Path, work: Path, trained: Path, values: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_start(small_config(rooms, work, **{"start_from": str(trained), **values}))
