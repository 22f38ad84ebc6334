"""Values and words as users get them wrong, and words that no message to them may have."""

from __future__ import annotations

import datetime
import re
from typing import Any

from hypothesis import HealthCheck
from hypothesis import strategies as st

UNCHECKED = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]
"""Checks of hypothesis that its random configurations do not pass."""

JUNK: list[Any] = [
    *(None, "None", "", " ", "text", "a text of several words", "~/somewhere", "1e-4", "1e-", "0.5", "70%", "1,5", "nan"),
    *(True, False, "true", 0, 1, 2, 3, -1, 7, 70, 255, 10**9, 10**30, 0.0, 0.5, 1.0, 1.5, -0.5, 1e-300, 1e300),
    *(float("nan"), float("inf"), -float("inf"), datetime.date(2024, 5, 17), datetime.datetime(2024, 5, 17, 12, 0)),
    *([], [0], [1, 2], [1, 2, 3], ["text"], [None], [[]], [[0, 1e-4]], [[0, 1e-4], [1, 1e-3]], [0.9, 0.999], [1, "two", None]),
    *({}, {"value": 1e-4}, {"value": 1e-4, "warmup": 10}, {"value": 1e-4, "warm_up": 10}, {"a": {"b": {"c": 1}}}, {1: 2}),
    *({None: 1}, {"name": "cosine"}, "x" * 5000, list(range(3000)), "Ünïcode", "two\nlines", "!!", "{}", "*"),
]
"""Values that most keys do not take."""

JARGON = re.compile(
    r"Input should|type=|Traceback|validation error|pydantic|NoneType|<class|Literal|tuple|dict\b|unhashable|object at|"
    r"constrained|[Uu]nion\b|__|Error\b|instance|\bstr\b|\bbool\b|\bfloat\b|\bint\b|string|boolean|recursion|valid dictionary"
)


def misspelled(draw: st.DrawFn, word: str) -> str:
    """A word with one slip of the finger or of the mind."""
    at = draw(st.integers(0, len(word) - 1))
    slips = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] * 2 + word[at + 1 :],
        word[: at + 1] + word[at + 1 : at + 2] * 0 + "x" + word[at + 1 :],
        word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
        *(word.upper(), word.lower(), word.title(), word.replace("_", "-"), word.replace("_", ""), word.replace("_", " ")),
        *(f" {word}", f"{word} ", f"{word}s", f"my_{word}", f"{word}:", f"'{word}'"),
    ]
    return draw(st.sampled_from(slips))
