"""Memory that a network and its forward pass take.

On the CPU by the system's own account, in a fresh process per network: its largest resident size while the network runs, less
that before the network was loaded. So it counts the weights, their packed copies and everything temporary, whoever allocated
it. On a GPU by torch's account of its allocations, of which all are torch's.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import logging
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn

from deploy.latency import LAYOUTS
from engine.saved_trial import load_trial
from models import fold_batch_norm, load_compact

log = logging.getLogger(__name__)

HOW = {
    "cpu": "largest resident size of a fresh process while the network runs, less that before it was loaded (Linux)",
    "cuda": "torch.cuda.max_memory_allocated during a forward pass, weights and images included",
}
SMALL = 64
"""Side of the image of the first forward pass, which brings the program's own code into memory."""


def load_network(name: str, folder: Path, compact: Path) -> nn.Module:
    """Load a network of a trial: ``dense`` as trained, ``folded`` (its batch norm folded), or the ``compact`` file."""
    if name == "compact":
        return load_compact(compact)
    dense = load_trial(folder).model
    return fold_batch_norm(dense) if name == "folded" else dense


def gpu_peak(network: nn.Module, images: Tensor, layout: str) -> float:
    """Measure the most megabytes allocated during a forward pass of ``network``, which moves to the images' GPU and back."""
    network.to(images.device, memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    batch = images.contiguous(memory_format=LAYOUTS[layout])
    torch.cuda.reset_peak_memory_stats(images.device)
    with torch.inference_mode():
        network(batch)
    peak = torch.cuda.max_memory_allocated(images.device) / 1e6
    network.to("cpu")
    return peak


def cpu_peaks(layouts: Mapping[str, str], folder: Path, compact: Path, shape: tuple[int, ...]) -> dict[str, float] | None:
    """Measure the megabytes per network, or None where this system does not tell.

    Args:
        layouts: per network (a name of :func:`load_network`) its memory layout.
        folder: of the trial.
        compact: the compact model's file.
        shape: of the images (B, C, H, W).
    """
    if sys.platform != "linux":
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deploy.peak_memory"])
    peaks = {}
    for name, layout in layouts.items():
        receiver, sender = context.Pipe(duplex=False)
        load = functools.partial(load_network, name, folder.resolve(), compact.resolve())
        arguments = (sender, load, layout, shape, torch.get_num_threads())
        process = context.Process(target=_measure, args=arguments, daemon=True)
        process.start()
        sender.close()
        try:
            peaks[name] = receiver.recv()
        except EOFError:
            log.warning("the memory of the %s network could not be measured: its process ended early", name)
            return None
        finally:
            process.join()
    return peaks


def _measure(sender: Connection, load: Callable[[], nn.Module], layout: str, shape: tuple[int, ...], threads: int) -> None:
    """Measure the memory in the fresh process, and send the megabytes."""
    torch.set_num_threads(threads)
    before = 0.0
    for side in (SMALL, None):  # the first time to bring the program's own code into memory
        before = _settled()
        network = load().to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        images = torch.rand(shape if side is None else (1, shape[1], side, side)).contiguous(memory_format=LAYOUTS[layout])
        _settled()
        Path("/proc/self/clear_refs").write_text("5")  # from now on VmHWM is the largest resident size
        with torch.inference_mode():
            network(images)
        peak = _status("VmHWM") - before
        del network, images
    sender.send(peak)


def _settled() -> float:
    """Measure resident megabytes once everything that is free has gone back to the system."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # another C library may have nothing of the kind
        ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _status(field: str) -> float:
    """Read a line of /proc/self/status, in megabytes (it says kibibytes)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/self/status has no {field}")
