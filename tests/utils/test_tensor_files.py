"""Files of tensors from elsewhere: what is data is read, what is a program is refused with the way out."""

import sys
import types
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoint import load_tensors
from models.torchvision_resnet import TorchvisionResNet
from utils.errors import TrialError, UserError
from utils.tensor_files import ForeignFileError, read_tensors

PUBLISHED = """
import torch

class ProxAdam(torch.optim.Adam):
    pass

class TwoHeads(torch.nn.Linear):
    pass
"""


def published_checkpoint(path: Path, kind: str = "optimizer", **options: Any) -> Path:
    """A file as other people's training code saves it, with classes of a module that is gone now."""
    module = types.ModuleType("their_training")
    sys.modules["their_training"] = module
    try:
        exec(PUBLISHED, module.__dict__)
        model = module.TwoHeads(3, 2)
        optimizer = module.ProxAdam(model.parameters(), lr=0.1)
        content = {
            "optimizer": {"epoch": 12, "model": model.state_dict(), "optimizer": optimizer, "loss": 0.5},
            "network": model,
            "class": {"model": model.state_dict(), "kind": module.TwoHeads},
        }[kind]
        torch.save(content, path, **options)
    finally:
        del sys.modules["their_training"]
    return path


KINDS = [
    ("optimizer", "their_training.ProxAdam", True),
    ("optimizer", "their_training.ProxAdam", False),
    ("network", "their_training.TwoHeads", True),
    ("class", "their_training.TwoHeads", True),
]


@pytest.mark.parametrize(("kind", "wanted", "zipped"), KINDS)
def test_a_checkpoint_of_other_code_is_refused_in_one_sentence_with_a_safe_way_out(
    kind: str, wanted: str, zipped: bool, tmp_path: Path
) -> None:
    path = published_checkpoint(tmp_path / "8_2_multi.pt", kind, _use_new_zipfile_serialization=zipped)
    for read, error in (
        (lambda: load_tensors(path), TrialError),
        (lambda: TorchvisionResNet("resnet18", init_weights=str(path)), UserError),
    ):
        with pytest.raises(error) as caught:
            read()
        sentence = str(caught.value)
        assert str(path) in sentence
        assert wanted in sentence
        for hint in ("isolated environment", "without secrets or network", "container", "code that wrote it"):
            assert hint in sentence
        assert "torch.save(model.state_dict(), 'weights.pt')" in sentence
        assert "\n" not in sentence
        assert ". " not in sentence.replace(str(path), ""), "one sentence"
        for advice in ("weights_only", "trust", "add_safe_globals", "GLOBAL"):
            assert advice not in sentence, "torch's own advice is to run it"


def test_what_the_recipe_saves_is_read(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    read = read_tensors(tmp_path / "weights.pt")
    assert isinstance(read, OrderedDict)
    assert read.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in read.items())


def test_a_file_of_the_recipe_is_still_no_trial(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(TrialError, match=r"weights\.pt: is not a checkpoint of this project \(it holds no 'model'\)"):
        load_tensors(tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip", b"\x80\x04\x95", b"\x80\x02}q\x00."])
def test_a_damaged_file_is_refused_without_torchs_advice(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ForeignFileError, match=r"^is damaged, or nothing that torch\.save wrote") as caught:
            read_tensors(tmp_path / "x.pt")
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForeignFileError, match=r"^cannot be read \(Is a directory\)"):
        read_tensors(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "x.pt")
