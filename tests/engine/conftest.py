"""Networks of these tests are narrow."""

from tests.narrow import narrow_networks

__all__ = ["narrow_networks"]
