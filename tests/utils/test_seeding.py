"""Random numbers begin where a seed says, and go on where a saved state says."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import checkpoint as files
from utils.seeding import rng_state, seed_everything, set_rng_state

DRAWS: dict[str, Callable[[], float]] = {
    "torch": lambda: float(torch.rand(())),
    "torch, normal": lambda: float(torch.randn(())),
    "dropout": lambda: float(torch.nn.functional.dropout(torch.ones(64)).sum()),
    "numpy": lambda: float(np.random.rand()),
    "numpy, normal": lambda: float(np.random.randn()),
    "python": random.random,
    "python, normal": lambda: random.gauss(0, 1),
}
"""Normal numbers are made in pairs, and the second is part of the state."""


@pytest.mark.parametrize("kind", DRAWS)
def test_equal_seeds_give_equal_numbers_and_others_do_not(kind: str) -> None:
    series = []
    for seed in (3, 3, 4):
        seed_everything(seed)
        series.append([DRAWS[kind]() for _ in range(5)])
    assert series[0] == series[1] != series[2]


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("drawn", [0, 1, 2])
def test_saved_numbers_go_on_in_another_process_where_they_stopped(tmp_path: Path, kind: str, drawn: int) -> None:
    seed_everything(5)
    for _ in range(drawn):
        DRAWS[kind]()
    files.save_tensors(tmp_path / "x.pt", {"model": {}, "rng": rng_state()})
    expected = [DRAWS[kind]() for _ in range(5)]
    seed_everything(6)
    for _ in range(3):
        DRAWS[kind]()
    set_rng_state(files.load_tensors(tmp_path / "x.pt")["rng"])
    assert [DRAWS[kind]() for _ in range(5)] == expected


def test_asking_for_the_state_draws_nothing() -> None:
    series = []
    for ask in (False, True):
        seed_everything(1)
        if ask:
            rng_state()
        series.append([draw() for draw in DRAWS.values()])
    assert series[0] == series[1]


def test_states_of_another_number_of_gpus_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that began on a machine with two GPUs goes on here."""
    seed_everything(2)
    state = {**rng_state(), "cuda": [torch.zeros(16, dtype=torch.uint8)] * 2}
    expected = float(torch.rand(()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda states: pytest.fail("not of these GPUs"))
    set_rng_state(state)
    assert float(torch.rand(())) == expected
