"""What holds for all tests here."""

from pathlib import Path

import pytest

from datasets.preparation.verification import workers
from tests.datasets.preparation.verification.damage import in_this_process


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes, but in the tests about them."""
    if Path(request.path).stem != "test_workers":
        monkeypatch.setattr(workers, "examine_all", in_this_process)
