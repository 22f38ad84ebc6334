"""Partners of a setting follow from the study's plan."""

from pathlib import Path
from typing import Any

import pytest

from study.plan import Setting
from study.twins import baseline_of, other_keys, twin_of
from tests.studies import make_study

SPARSE = "seg_depth_l1_l2_target0.5"
DENSE: dict[str, Any] = {"tasks": "all", "group_sparsity": False}
STRONG: dict[str, Any] = {"tasks": "all", "target_sparsity": 0.5}
SINGLES: dict[str, Any] = {"tasks": "singles", "group_sparsity": False}


def longer(axes: dict[str, Any], variant: str = "long", epochs: int = 4) -> dict[str, Any]:
    """A variant."""
    return {**axes, "variant": variant, "set": {"epochs": epochs}}


def late(axes: dict[str, Any]) -> dict[str, Any]:
    """A variant of the penalty alone."""
    return {**axes, "variant": "late", "set": {"sparsity_until": 0.5}}


def planned(tmp_path: Path, *axes: dict[str, Any]) -> dict[str, Setting]:
    return {setting.name: setting for setting in make_study(tmp_path, axes=list(axes)).settings}


@pytest.mark.parametrize(
    ("axes", "sparse", "twin"),
    [
        ([DENSE, STRONG], SPARSE, "seg_depth_dense"),
        ([longer(DENSE), longer(STRONG), STRONG, DENSE], f"{SPARSE}_long", "seg_depth_dense_long"),
        ([longer(DENSE), longer(STRONG), STRONG, DENSE], SPARSE, "seg_depth_dense"),
        ([DENSE, longer(STRONG)], f"{SPARSE}_long", None),
        ([longer(DENSE), STRONG], SPARSE, None),
        ([longer(DENSE), longer(STRONG, "other", 5)], f"{SPARSE}_other", None),
        ([longer(DENSE), longer(STRONG, "other")], f"{SPARSE}_other", "seg_depth_dense_long"),
        ([DENSE, late(STRONG)], f"{SPARSE}_late", "seg_depth_dense"),
        ([late(DENSE), DENSE, late(STRONG)], f"{SPARSE}_late", "seg_depth_dense_late"),
        ([SINGLES, STRONG], SPARSE, None),
    ],
)
def test_the_twin_has_the_same_variant_or_is_trained_alike(
    axes: list[dict[str, Any]], sparse: str, twin: str | None, tmp_path: Path
) -> None:
    settings = planned(tmp_path, *axes)
    partner = twin_of(settings[sparse], settings.values())
    assert (partner.name if partner else None) == twin


@pytest.mark.parametrize(
    ("axes", "setting", "baseline"),
    [
        ([SINGLES, STRONG], SPARSE, ["seg_dense", "depth_dense"]),
        ([SINGLES, longer(SINGLES), longer(STRONG)], f"{SPARSE}_long", ["seg_dense_long", "depth_dense_long"]),
        ([SINGLES, longer(STRONG)], f"{SPARSE}_long", ["seg_dense", "depth_dense"]),
        (
            [SINGLES, longer({**SINGLES, "tasks": ["segmentsemantic"]}), longer(STRONG)],
            f"{SPARSE}_long",
            ["seg_dense", "depth_dense"],
        ),
        ([longer(SINGLES), STRONG], SPARSE, None),
        ([{**SINGLES, "tasks": ["segmentsemantic"]}, STRONG], SPARSE, None),
    ],
)
def test_the_baseline_is_of_one_variant(
    axes: list[dict[str, Any]], setting: str, baseline: list[str] | None, tmp_path: Path
) -> None:
    settings = planned(tmp_path, *axes)
    partners = baseline_of(settings[setting], settings.values())
    assert (None if partners is None else [single.name for single in partners.values()]) == baseline


def test_a_sparse_run_and_its_dense_twin_differ_in_keys_of_the_penalty_alone(tmp_path: Path) -> None:
    axes = {**STRONG, "penalty": ["group_mcp", "sparse_group_lasso"], "set": {"sparsity_until": 0.5}}
    settings = planned(tmp_path, DENSE, axes)
    dense = settings["seg_depth_dense"]
    assert len(settings) == 3
    assert [other_keys(setting, dense) for setting in settings.values()] == [[], [], []]
