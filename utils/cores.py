"""How many cores there are for this process."""

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
    """CPU time per time that Linux's control groups allow, the smallest along the way up; infinity where nothing limits it."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    limits = [math.inf]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _GROUPS / controllers
        # Inside of a container the group may be named as it is outside; what is mounted at the root is its own then.
        place = root / group.lstrip("/")
        for folder in (place, *place.parents):
            limits.append(_limit(folder))
            if folder == root:
                break
    return min(limits)


def _limit(folder: Path) -> float:
    """Of one control group: in ``cpu.max`` (version 2) or two files (version 1), in microseconds."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((folder / name).read_text(encoding="ascii").strip() for name in names)
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such files, or the word max
        return math.inf
