"""A ResNet-18 with few channels behind its first stage, for tests that train one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

from models.torchvision_resnet import OUT_CHANNELS

SHARE = 16


class NarrowResNet(torchvision.models.ResNet):
    """torchvision's network with a sixteenth of its channels behind the first stage, whose shortcut takes the stem's result."""

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> nn.Sequential:
        return super()._make_layer(block, planes if planes == 64 else planes // SHARE, blocks, stride, dilate)


def make_resnet18_narrow(patch: pytest.MonkeyPatch) -> None:
    """Let ``resnet18`` be this network while ``patch`` lasts.

    To compute it takes less time than to follow the shapes through it on no device.
    """
    patch.setattr("models.compaction.report.COUNTED_ON", "cpu")
    patch.setitem(OUT_CHANNELS, "resnet18", 512 // SHARE)
    patch.setattr("models.torchvision_resnet.get_model", lambda name, weights: NarrowResNet(BasicBlock, [2, 2, 2, 2]))


def make_resnet18_usual(patch: pytest.MonkeyPatch) -> None:
    """Let ``resnet18`` be torchvision's network while ``patch`` lasts."""
    patch.setitem(OUT_CHANNELS, "resnet18", 512)
    patch.setattr("models.torchvision_resnet.get_model", torchvision.models.get_model)


@pytest.fixture(scope="module", autouse=True)
def counted_by_computing() -> Iterator[None]:
    """For a module that imports this: its networks are so small that to compute them takes less time than to follow the shapes
    through them on no device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.compaction.report.COUNTED_ON", "cpu")
        yield


@contextmanager
def resnet18_narrow() -> Iterator[None]:
    """Let ``resnet18`` be this network for a while."""
    with pytest.MonkeyPatch.context() as patch:
        make_resnet18_narrow(patch)
        yield


@pytest.fixture(scope="package", autouse=True)
def narrow_networks() -> Iterator[None]:
    """Make ``resnet18`` narrow for all tests of the folder whose ``conftest.py`` imports this fixture: the time of a step and
    of a checkpoint is that of its width. (Imported into a module, it would stay for all tests that follow.)"""
    with resnet18_narrow():
        yield
