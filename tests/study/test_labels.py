"""Names that readers see, and numbers as text."""

import numpy as np
import pytest

from study.labels import NOTHING, interval, main_metrics, setting_label, study_tasks
from tests.study.sample_studies import STUDIES, summary_row
from tests.study_tables import celeba_study, small_study
from utils.numbers import fixed, short_number


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "Semantic segmentation + depth + surface normals, dense"),
        ({"tasks": ("depth_euclidean",), "variant": "augmented"}, "Depth, dense, variant augmented"),
        ({"tasks": (), "variant": np.nan}, ", dense"),
        (
            {"tasks": ("depth_euclidean",), "sparse": True, "penalty": "l1_l2", "target_sparsity": 0.7},
            "Depth, group lasso, target 70 %",
        ),
        (
            {"tasks": ("my_task",), "sparse": True, "penalty": "group_mcp", "lambda": 1.5e-4, "variant": "x  y\n"},
            "my task, group MCP, λ = 1.5e-4, variant x y",
        ),
    ],
)
def test_a_setting_is_called_after_its_columns(values: dict[str, object], expected: str) -> None:
    assert setting_label(small_study(), summary_row(**values)) == expected


def test_no_two_settings_of_a_study_have_the_same_label() -> None:
    for study in STUDIES.values():
        labels = [setting_label(study(), row) for row in study().summary.to_dict("records")]
        assert len(set(labels)) == len(labels)


def test_numbers_have_true_signs() -> None:
    assert [fixed(value, 2, signed=True) for value in (0.5, -0.5, -0.001, 0.0)] == ["+0.50", "−0.50", "0.00", "0.00"]
    assert " ".join(map(short_number, (1e-6, 1.5e-4, 0.05, 0.1, 70.0, 0.0))) == "1e-6 1.5e-4 5e-2 0.1 70 0"
    assert interval(-0.3, 1.25) == "[−0.30, +1.25]"
    assert interval(float("nan"), 1.0) == NOTHING


def test_main_metrics_say_which_way_is_better() -> None:
    assert main_metrics(small_study()) == [
        ("Semantic segmentation", "mIoU ↑"),
        ("Depth", "absolute error ↓"),
        ("Surface normals", "mean cosine ↑"),
    ]
    assert study_tasks(celeba_study()) == ["segmentsemantic", "class_male", "class_smile"]
