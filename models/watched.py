"""A check for programs that follow each of torch's operations."""

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode


def is_watched(*tensors: Tensor) -> bool:
    """True where torch must see each operation on the tensors.

    It does so for a compiler or tracer, fake tensors, modes such as ``FlopCounterMode``, ``torch.func`` and forward AD.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or any(type(tensor) not in (Tensor, nn.Parameter) for tensor in tensors)
        or _get_current_dispatch_mode() is not None
        or any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors))
        or forward_ad._current_level >= 0
    )
