"""Device and precision that a configuration means on this machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from engine.distributed import ranks
from engine.memory import keep_freed_memory
from settings.config import ExperimentConfig
from utils.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` names; of several processes, each gets a GPU of its own.

    Raises:
        ConfigError: this machine has no such device.
    """
    if ranks().size > 1 and name != "cpu" and torch.cuda.is_available():
        return _own_gpu(name, int(os.environ["LOCAL_RANK"]))
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: {name!r} is not valid; expected auto, cpu, cuda or cuda:<number>") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
    }.get(device.type, False)
    if not available:
        raise ConfigError(f"device: {name!r} is not there on this machine; use 'auto' or 'cpu'")
    return device


def _own_gpu(name: str, number: int) -> torch.device:
    """Return the GPU of this process, which is process ``number`` of its machine."""
    if ":" in name:
        raise ConfigError(f"device: {name!r} is one GPU, and each process has its own; write device=cuda")
    if number >= torch.cuda.device_count():
        raise ConfigError(f"device: {name!r} needs a GPU for each process, and there are {torch.cuda.device_count()}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def device_name(device: torch.device) -> str:
    """Return the name of a device in words: that of the GPU, or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine() or "CPU")


def has_native_bf16(device: torch.device) -> bool:
    """True where bf16 arithmetic is the hardware's own, and so faster than fp32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def resolve(config: ExperimentConfig) -> tuple[ExperimentConfig, torch.device]:
    """The configuration with its ``auto`` precision decided, and the device; sets the process up for it."""
    device = resolve_device(config.device)
    if config.precision == "auto":
        config = config.model_copy(update={"precision": "bf16" if has_native_bf16(device) else "fp32"})
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda" and config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    return config, device
