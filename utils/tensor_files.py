"""Files of tensors from elsewhere: read as data, never unpickled."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import UserError


def misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor], network: str) -> list[str]:
    """Return a phrase for each tensor of a file that does not fit a ``network``: missing, superfluous, of another shape.

    torch's bookkeeping ``num_batches_tracked`` may be missing, as in files of old versions.
    """
    return [
        *(f"lacks {key}" for key in own if key not in given and not key.endswith("num_batches_tracked")),
        *(f"has {key}, which {network} has not" for key in given if key not in own),
        *(
            f"{key} is {tuple(given[key].shape)}, expected {tuple(own[key].shape)}"
            for key in own
            if key in given and given[key].shape != own[key].shape
        ),
    ]


class ForeignFileError(UserError):
    """A file is refused; the message is the second half of a sentence that begins with the file."""


def read_tensors(path: Path) -> Any:
    """Read a file of ``torch.save`` onto the CPU, if it holds tensors and plain values and nothing else.

    A pickle is a program: whoever wrote it decides what happens when it is read. So nothing is unpickled
    (``weights_only=True``), and a file that holds anything else is refused as a whole, the tensors in it included.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignFileError: it cannot be read, or holds something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the pickle protocol of files that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ForeignFileError(f"cannot be read ({error.strerror or error})") from None
    except Exception as error:  # torch raises half a dozen types for a file that is not its own
        raise ForeignFileError(_why(error)) from None


def _why(error: Exception) -> str:
    """Return what is wrong with a file that torch refused, without torch's advice to unpickle it."""
    wanted = re.search(r"\bGLOBAL ([\w.]+)", str(error))
    if wanted is not None:
        return (
            f"holds a Python object of another program ({wanted[1]}), as checkpoints of the paper's published code hold their "
            "optimizer: reading it would run whatever the file says; to convert its weights safely, load it with the code that "
            "wrote it in an isolated environment without secrets or network (a container), and save there only the model's "
            "state dict, torch.save(model.state_dict(), 'weights.pt')"
        )
    reason = "" if "weights_only" in str(error) else " ".join(str(error).split())[:120]
    return "is damaged, or nothing that torch.save wrote" + (f" ({reason})" if reason else "")
