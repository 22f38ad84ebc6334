"""Behaviour on a device that nobody should wait for, tried out on a CPU."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("meta")
_device_of = Tensor.device.__get__  # type: ignore[attr-defined]


class Elsewhere(TorchFunctionMode):
    """Inside, every tensor says that it lives on some other device than the CPU, where it is all the same."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func == _device_of:
            return DEVICE
        options = dict(kwargs or {})
        if options.get("device") == DEVICE:
            options["device"] = "cpu"
        return func(*args, **options)
