"""Room on the disk that runs take, before they are there."""

from pathlib import Path

import pytest
import torch

from engine import checkpoint as files
from study.disk import RunSize, bytes_text, run_size, told
from tests.small import make_trial, small_config


def test_sizes_are_those_of_the_files(work: Path) -> None:
    trial = make_trial(small_config(Path("nowhere"), work, backbone="resnetd18"))
    for parameter in trial.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trial.optimizer.step()
    files.save_tensors(work / files.BEST, trial.best_state(None))
    files.save_tensors(work / files.LAST, trial.state_dict(None))
    best, last = ((work / name).stat().st_size for name in (files.BEST, files.LAST))
    size = run_size(trial.config.model_copy(update={"keep_state": False, "init_weights": "a name that nobody has"}))
    assert size.kept == pytest.approx(best, rel=0.02)
    assert size.training == pytest.approx(2 * last, rel=0.02), "the one that is there, and the one that is being written"
    size = run_size(trial.config.model_copy(update={"keep_state": True}))
    assert size == pytest.approx((best + last, last), rel=0.02)


def test_numbers_have_two_digits() -> None:
    assert [bytes_text(size) for size in (1_234_000_000, 45_600_000, 123_400_000_000)] == ["1.2 GB", "46 MB", "120 GB"]
    sizes = [(RunSize(1_000_000_000, 6_000_000_000), 3), (RunSize(500_000_000, 3_000_000_000), 1)]
    assert told(sizes) == "All runs take about 3.5 GB of the disk, and each that trains up to 6 GB more"
