"""Studies and rows of a summary for tests of what is said of them."""

from __future__ import annotations

from functools import cache

import numpy as np

from study.tables import StudyTables
from tests.study_tables import NYU, Setting, bare_study, celeba_study, lambda_study, make_study, small_study

STUDIES = {"small": small_study, "lambdas": lambda_study, "celeba": celeba_study, "bare": bare_study}
ODD = "a_b & 50 % <script> | {x} $y$ #1"
"""A variant with what means something to Markdown and to LaTeX."""


def summary_row(**values: object) -> dict[str, object]:
    """Row of a dense setting of three tasks, but for ``values``."""
    dense = {"tasks": NYU, "sparse": False, "penalty": "", "lambda": np.nan, "target_sparsity": np.nan, "variant": ""}
    return {**dense, **values}


@cache
def odd_study() -> StudyTables:
    return make_study("odd_&", [Setting(NYU, 2), Setting(NYU, 2, "l1_l2", target=0.7, variant=ODD)])
