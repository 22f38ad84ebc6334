"""The classes of NYU-v2: its 894 labels as the 40 classes of Gupta et al. (CVPR 2013), by the table ``nyu_labels.csv``."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("nyu_labels.csv")


@cache
def class_of_label() -> np.ndarray:
    """(895,) uint8: the class 1..40 of each label 1..894; label 0 is unlabelled and stays 0."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert [int(row["label"]) for row in rows] == list(range(1, len(rows) + 1)), f"{TABLE} must list every label once, in order"
    classes = np.array([0, *(int(row["class"]) for row in rows)], np.uint8)
    classes.flags.writeable = False
    return classes
