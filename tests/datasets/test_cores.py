"""The number of cores for this process, in a container too."""

import os
from pathlib import Path

import pytest

from datasets import cores as module
from datasets.cores import cores


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the control groups of Linux, of a machine with 64 cores; nothing limits this process yet."""
    monkeypatch.setattr(module, "_GROUPS", tmp_path)
    monkeypatch.setattr(module, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_a_process_has_the_cores_that_it_is_bound_to(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7})
    assert cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "9900000 100000"}, 64),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "100000 50000"}, 2),
        ("0::/as/it/is/outside", {"cpu.max": "200000 100000"}, 2),
        ("0::/../..", {"cpu.max": "200000 100000"}, 2),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("1:memory:/", {"memory/cpu.max": "100000 100000"}, 64),
        ("0::/", {"cpu.max": "not what it was"}, 64),
    ],
)
def test_a_container_has_its_share_of_the_cores(groups: Path, own: str, limits: dict[str, str], expected: int) -> None:
    write(groups / "own", own)
    for name, text in limits.items():
        write(groups / name, text)
    assert cores() == expected
