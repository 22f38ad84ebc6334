"""Keeping freed memory in the process, where that makes training faster."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask glibc not to hand large freed blocks back to the system; True if it agreed.

    A training step on the CPU allocates and frees the same hundreds of megabytes again and again. By default each large block
    is mapped anew, and the kernel clears every page of it on first touch, which took a third of a step's time
    (docs/results.md). The price is that the process keeps its peak memory until it ends.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library (musl): nothing to tune
    # Older versions of glibc refuse thresholds above 32 MiB.
    mapped = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, LARGEST_INT) and mallopt(M_TOP_PAD, 2**26))
