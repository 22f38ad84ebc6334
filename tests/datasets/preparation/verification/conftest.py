"""Settings of the tests in this folder."""

import pytest

from datasets.preparation import verify
from tests.datasets.preparation.verification.damage import in_this_process


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes: ``test_workers.py`` is about them."""
    monkeypatch.setattr(verify, "in_processes", in_this_process)
