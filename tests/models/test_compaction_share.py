"""The share that is left, counted on masks, is what compact() leaves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import MultiTaskModel, compact
from models.compaction.anatomy import dissect
from models.compaction.share import CostKind, LeftShare, live_now
from tests.models.pruned import PATTERNS, Pattern, generator, narrow, prune, tiny, wild_norms
from tests.narrow import counted_by_computing

__all__ = ["counted_by_computing"]

KINDS: tuple[CostKind, ...] = ("macs", "parameters")
SIZE = (32, 48)


def assert_counted(model: MultiTaskModel, dense: MultiTaskModel) -> None:
    """Both costs of the pruned ``model``, which was ``dense``, are those of the compact one."""
    total = compact(model, image_size=SIZE)[1].totals["model"]
    for kind in KINDS:
        count = LeftShare(dense, kind, 3, SIZE)
        assert count.dense == total[kind]
        assert count.cost(live_now(model)) == total[f"{kind}_left"], kind
        assert count.of(live_now(model)) == total[f"{kind}_left"] / total[kind]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_of_every_pattern_it_is_that_of_the_compact_network(pattern: str) -> None:
    make = (narrow, tiny)[list(PATTERNS).index(pattern) % 2]
    model, before = make(), make()
    wild_norms(model, "usual", seed=1)
    prune(model, pattern, seed=2, heads=pattern != "half")
    assert_counted(model, before)


@settings(max_examples=10)
@given(
    shares=st.lists(st.sampled_from([0.0, 0.3, 0.7, 0.95, 1.0]), min_size=1, max_size=9),
    seed=st.integers(0, 2**16),
    heads=st.booleans(),
)
def test_of_any_layers_with_any_zeros_it_is_that_of_the_compact_network(shares: list[float], seed: int, heads: bool) -> None:
    model = tiny(blocks=(2, 1, 1, 2))
    wild_norms(model, "usual", seed)
    prune(model, _by_layer(shares), seed, heads=heads)
    assert_counted(model, tiny(blocks=(2, 1, 1, 2)))


def _by_layer(shares: list[float]) -> Pattern:
    """A share of zeros per layer, drawn from ``shares``."""

    def pattern(name: str, conv: torch.nn.Conv2d, g: torch.Generator) -> torch.Tensor:
        share = shares[int(torch.randint(len(shares), (), generator=g))]
        return torch.rand(conv.in_channels, generator=g) < share

    return pattern


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_costs_what_its_death_saves_where_another_convolution_reads_it_too(kind: CostKind) -> None:
    """As of the first convolution of a branch, beside which the stream goes on; half of its filters are gone."""
    model = tiny()
    count, live = LeftShare(model, kind, 3, SIZE), live_now(model)
    for block in dissect(model.backbone).blocks:
        live[f"backbone.{block.branch[1].name}"][::2] = False
    for block in dissect(model.backbone).blocks:
        name = f"backbone.{block.branch[0].name}"
        fewer = {**live, name: live[name].index_fill(0, torch.tensor(1), False)}
        assert count.cost(live) - count.cost(fewer) == count.column_costs(live)[name]


def test_no_choice_of_as_many_groups_leaves_less_than_the_least() -> None:
    model = tiny()
    floors = {name: 2 for name in live_now(model) if name.startswith("backbone.")}
    for kind in KINDS:
        count = LeftShare(model, kind, 3, SIZE)
        least, g = count.least(floors), generator(0)
        for _ in range(30):
            chosen = {
                name: torch.randperm(len(mask), generator=g) < floors.get(name, len(mask))
                for name, mask in live_now(model).items()
            }
            assert count.of(chosen) >= least
        assert count.least({}) == pytest.approx(1.0, abs=0.02)  # batch norm is folded
