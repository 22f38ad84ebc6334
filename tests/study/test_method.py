"""The method of a setting in sentences: each key that changes it changes its text."""

from pathlib import Path

import pytest

from study.method import describe, described_methods
from study.plan import Study
from tests.studies import make_study


@pytest.fixture
def study(work: Path) -> Study:
    return make_study(work)


def sparse(study: Study, **values: object) -> str:
    """Description of the sparse setting with other values."""
    (setting,) = [setting for setting in study.settings if setting.sparse]
    return describe(setting.config.with_values(**values))


def test_a_target_is_described_with_penalty_score_ramp_freeze_and_shrinking(study: Study) -> None:
    text = sparse(study, bb_optimizer_params={"penalty": "group_l0"}, epochs=100, sparsity_until=0.3, sparsity_threshold=7)
    for part in (
        "After each step of AdamW from epoch 8 on, a proximal step of the group L0",
        "(gradient · weight)²",
        "the share of zero groups rises to the target on a cubic ramp; each layer keeps 2 % of its groups",
        "From epoch 31 of 100 on, zero groups stay zero",
        "the training goes on with what is left of the network",
    ):
        assert part in text
    assert 2 <= text.count(". ") + 1 <= 5


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"bb_optimizer_params": {"penalty": "group_l0", "saliency": "fisher"}}, "diagonal of the Fisher information"),
        ({"bb_optimizer_params": {"penalty": "group_l0", "saliency": "adam"}}, "squared norm in Adam’s metric"),
        ({"preserve_norm": True}, "keeps its norm"),
        ({"preserve_norm": False}, "the norm of the others shrinks as well"),
        ({"sparsity_ramp": "smooth"}, "on a smooth ramp"),
        (
            {"target_sparsity": None, "target_macs": 0.3, "bb_optimizer_params": {}},
            "the multiply-adds of the compact network fall",
        ),
        (
            {"target_sparsity": None, "bb_optimizer_params": {"lambda": 1e-4}},
            "λ is the same in all epochs. The penalty acts to",
        ),
        (
            {"target_sparsity": None, "bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": 1}}, "debias_from": 0.5},
            "λ changes over the epochs. From epoch",
        ),
    ],
)
def test_a_key_changes_the_text(study: Study, values: dict[str, object], part: str) -> None:
    assert part in sparse(study, **values)
    if "preserve_norm" not in values:
        assert part not in sparse(study)


def test_equal_methods_are_described_once_and_without_tasks_and_strength(study: Study) -> None:
    (dense, text), (penalty, other) = described_methods(study.settings)
    assert (dense, penalty) == ("dense", "group lasso")
    assert "without a penalty" in text
    assert "a proximal step" in other
