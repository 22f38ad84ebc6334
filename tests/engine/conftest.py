"""Networks of these tests are narrow, and the figures of their own runs are not drawn."""

from tests.narrow import narrow_networks
from tests.undrawn import drawn_runs, undrawn_runs

__all__ = ["drawn_runs", "narrow_networks", "undrawn_runs"]
