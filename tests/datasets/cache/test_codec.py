"""Codes and back: exact, or within the rounding that the module states."""

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.cache.codec import codec_of, decode, encode
from tasks.table import IGNORE_INDEX
from tests.datasets.cached import FLOAT
from tests.datasets.frames import raw_sample


def _there_and_back(kind: str, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    codes, scale = encode(kind, target, mask)
    assert codes.dtype == codec_of(kind).type
    assert codes.shape == target.shape
    decoded, decoded_mask = decode(kind, codes[None], np.array([scale]))
    assert decoded_mask.dtype == torch.bool
    assert torch.equal(decoded_mask[0], mask)
    assert decoded[0].shape == target.shape
    assert decoded[0].dtype == target.dtype
    return decoded[0], decoded_mask[0]


def _holes(seed: int, garbage: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Depth, normals and edges with ``garbage`` where their masks (the last two, depth's and edges') are False."""
    sample = raw_sample(seed, 40, 50)
    targets, masks = sample["targets"], sample["masks"]
    depth, edges = targets["depth_euclidean"], targets["edge_texture"]
    known = masks["depth_euclidean"], masks["edge_texture"]
    depth[~known[0]] = garbage
    edges[~known[1]] = garbage
    return depth, targets["surface_normal"], edges, *known


def test_labels_are_exact_and_ignored_ones_are_255() -> None:
    labels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    mask = labels != IGNORE_INDEX
    mask[0, 3] = False
    decoded, _ = _there_and_back("segmentation", labels, mask)
    assert torch.equal(decoded, torch.where(mask, labels, IGNORE_INDEX))


@pytest.mark.parametrize("garbage", [-3.0, float("nan"), float("inf")])
@pytest.mark.parametrize("metres", [1e-3, 1e4])
def test_depth_is_within_its_rounding_and_the_largest_is_exact(metres: float, garbage: float) -> None:
    depth, _, _, mask, _ = _holes(0, garbage)
    depth = depth * metres
    decoded, _ = _there_and_back("depth", depth, mask)
    largest = float(depth[mask].max())
    assert float(decoded.max()) == largest
    assert float((decoded - depth)[mask].abs().max()) <= largest * (1 / 131070 + FLOAT)
    assert (decoded[~mask] == 0).all()


def test_the_largest_depth_is_exact_whatever_it_is() -> None:
    for largest in torch.rand(2000, generator=torch.Generator().manual_seed(0)).mul(20).add(1e-3).tolist():
        depth = torch.tensor([[[largest, largest / 3]]])
        decoded, _ = _there_and_back("depth", depth, torch.ones_like(depth, dtype=torch.bool))
        assert decoded[0, 0, 0] == depth[0, 0, 0]


def test_a_valid_depth_stays_above_0_however_small_it_is() -> None:
    depth = torch.tensor([[[10.0, 1e-6, 1e-30, 10 / 65535 * 0.6]]])
    decoded, _ = _there_and_back("depth", depth, torch.ones_like(depth, dtype=torch.bool))
    torch.testing.assert_close(decoded[0, 0, 1:], torch.full((3,), 10 / 65535))


@pytest.mark.parametrize("depth", [-1.0, 0.0])
def test_a_depth_that_is_not_positive_cannot_be_valid(depth: float) -> None:
    """Its code would come back as a small positive depth."""
    with pytest.raises(AssertionError, match="a valid depth is positive"):
        encode("depth", torch.tensor([[[depth, 3.0]]]), torch.ones(1, 1, 2, dtype=torch.bool))


def test_a_frame_without_any_depth_comes_back_empty() -> None:
    depth = torch.full((1, 3, 4), float("nan"))
    decoded, mask = _there_and_back("depth", depth, torch.zeros(1, 3, 4, dtype=torch.bool))
    assert (decoded == 0).all()
    assert not mask.any()


def test_normals_are_within_their_rounding() -> None:
    normals = _holes(1, 0.0)[1]
    mask = normals.norm(dim=0, keepdim=True) > 0.5
    decoded, _ = _there_and_back("normals", normals, mask)
    assert not mask.all()
    assert float((decoded - normals).abs().max()) <= 1 / 65534 + FLOAT
    assert (decoded[:, ~mask[0]] == 0).all()


def test_axes_and_invalid_normals_are_exact() -> None:
    axes = torch.cat([torch.eye(3), -torch.eye(3), torch.zeros(3, 2)], dim=1)[:, None]
    mask = (axes != 0).any(dim=0, keepdim=True)
    decoded, _ = _there_and_back("normals", axes, mask)
    assert torch.equal(decoded, axes)


@pytest.mark.parametrize("garbage", [0.0, -3.0, float("nan"), float("inf")])
def test_edges_are_within_their_rounding_and_0_and_1_are_exact(garbage: float) -> None:
    _, _, edges, _, mask = _holes(2, garbage)
    edges[0, 0, :2] = torch.tensor([0.0, 1.0])
    mask[0, 0, :2] = True
    decoded, _ = _there_and_back("edges", edges, mask)
    assert decoded[0, 0, :2].tolist() == [0, 1]
    assert float((decoded - edges)[mask].abs().max()) <= 1 / 131068 + FLOAT
    assert (decoded[~mask] == 0).all()


def test_decoding_changes_no_code() -> None:
    """Codes may be those of somebody else: what is decoded is new."""
    depth, normals, edges, depth_mask, edge_mask = _holes(3, 0.0)
    known = normals.norm(dim=0, keepdim=True) > 0.5
    kinds: list[tuple[str, Tensor, Tensor]] = [("depth", depth, depth_mask), ("normals", normals, known)]
    for kind, target, mask in [*kinds, ("edges", edges, edge_mask)]:
        codes = encode(kind, target, mask)[0][None]
        before = codes.copy()
        decode(kind, codes, np.ones(1))[0].fill_(5)
        assert (codes == before).all(), kind
