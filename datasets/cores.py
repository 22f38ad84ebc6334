"""Number of cores for this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

_OWN_GROUPS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Linux's list of this process's control groups, and where the groups are."""


def cores() -> int:
    """Cores that this process may use at once: of the machine's those that it is bound to, and in a container no more than its
    share of CPU time (rounded up)."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(bound, _quota())))


def _quota() -> float:
    """CPU time per time that Linux's control groups allow, the smallest along the way up; infinity where nothing limits it.

    Of version 1 only the root is looked at, which is a container's own group.
    """
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    own = _GROUPS / next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    # Inside of a container the group may be named as it is outside; what is mounted at the root is its own then.
    ways = [(folder / "cpu.max",) for folder in (own, *own.parents) if folder.is_relative_to(_GROUPS)]
    version_1 = (_GROUPS / "cpu" / "cpu.cfs_quota_us", _GROUPS / "cpu" / "cpu.cfs_period_us")
    return min(_limit(*files) for files in (*ways, version_1))


def _limit(*files: Path) -> float:
    """Return the cores that the quota of a control group allows; ``files`` hold quota and period, in microseconds."""
    try:
        quota, period = (float(word) for file in files for word in file.read_text(encoding="ascii").split())
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError):  # no such files, or the word max
        return math.inf
