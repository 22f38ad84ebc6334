"""The load of the machine on which a latency is measured."""

import pytest

from deploy import latency
from deploy.latency import others_share


def test_share_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """user nice system idle iowait irq softirq steal: of 100 ticks, 60 are idle or waiting for a disk."""
    times = iter(["cpu 10 0 0 10 0 0 0 0 9 9", "cpu 20 10 10 50 20 5 3 2 9 9"])

    class Stat:
        def __init__(self, path: str) -> None:
            assert path == "/proc/stat"

        def read_text(self, encoding: str) -> str:
            return f"{next(times)}\ncpu0 1 1 1 1"

    monkeypatch.setattr(latency, "Path", Stat)
    assert others_share(0.0) == pytest.approx(40 / 100)
