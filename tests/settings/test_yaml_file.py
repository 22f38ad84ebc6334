"""YAML read into plain values; tests/settings/test_config.py has more, through a whole configuration."""

import time
from pathlib import Path
from typing import Any

import pytest

from settings.yaml_file import MOST_LEVELS, MOST_VALUES, apply_override, read_yaml
from utils.errors import ConfigError


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    assert str(caught.value).startswith(f"{folder / 'file.yaml'}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


NO_VALUES = ["2024-13-45", "0x_", "!!int x", "2001-12-14 21:59:43 +99:99", "9" * 5000]
BAD_TAGS = ["!!timestamp x", "!!bool maybe", "!!set [a]"]


@pytest.mark.parametrize("value", NO_VALUES + BAD_TAGS, ids=lambda value: value[:20])
def test_a_value_that_only_looks_like_one_is_no_valid_yaml(value: str, tmp_path: Path) -> None:
    """PyYAML raises errors of other kinds for these."""
    expected = "is not valid YAML: a value is not what its" if value in BAD_TAGS else "looks like"
    assert expected in refusal(tmp_path, f"a: {value}")
    raw: dict[str, Any] = {}
    (problem,) = apply_override(raw, f"a={value}")
    assert "the value is not valid YAML (put it in quotes?)" in problem
    assert raw == {}


def test_sections_of_one_anchor_can_be_changed_apart(tmp_path: Path) -> None:
    raw = read(tmp_path, "a: &x {b: {c: 1}, d: [1, {e: 2}]}\nf: *x\n")
    assert raw["a"] == raw["f"]
    assert apply_override(raw, "a.b.c=5") == []
    raw["a"]["d"][1]["e"] = 6
    assert raw["f"] == {"b": {"c": 1}, "d": [1, {"e": 2}]}
    assert apply_override(raw, "g={one: &y {z: 1}, two: *y}") == []
    assert apply_override(raw, "g.one.z=2") == []
    assert raw["g"] == {"one": {"z": 2}, "two": {"z": 1}}


def test_what_is_nested_as_deep_as_allowed_is_read(tmp_path: Path) -> None:
    deepest = "a: " + "[" * (MOST_LEVELS - 1) + "1" + "]" * (MOST_LEVELS - 1)
    assert "a" in read(tmp_path, deepest)
    assert "nested too deeply" in refusal(tmp_path, f"a: [{deepest.removeprefix('a: ')}]")
    assert "nested too deeply" in refusal(tmp_path, "a: " + "[" * 2_000)


def test_as_many_values_as_allowed_are_read(tmp_path: Path) -> None:
    def text(count: int) -> str:
        return f"a: [{', '.join('1' * count)}]"

    assert len(read(tmp_path, text(MOST_VALUES - 2))["a"]) == MOST_VALUES - 2
    assert "too large" in refusal(tmp_path, text(MOST_VALUES - 1))


def bomb(line: str) -> str:
    """Nine lines; each stands for nine times what the one before stands for."""
    return "a0: &a0 {k: 1}\n" + "".join(line.format(i=i, inner=", ".join([f"*a{i - 1}"] * 9)) for i in range(1, 10))


@pytest.mark.parametrize("line", ["a{i}: &a{i} [{inner}]\n", "a{i}: &a{i} {{<<: [{inner}]}}\n"], ids=["lists", "merge keys"])
def test_a_few_lines_that_stand_for_millions_of_values_are_refused_at_once(line: str, tmp_path: Path) -> None:
    start = time.monotonic()
    refusal(tmp_path, bomb(line))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a [1, {b: [*a]}]"])
def test_what_refers_to_itself_is_refused(text: str, tmp_path: Path) -> None:
    assert "refers to itself" in refusal(tmp_path, text)
    (problem,) = apply_override({}, text.replace(": ", "=", 1))
    assert "refers to itself" in problem


def test_merge_keys_are_refused_with_their_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, "a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\n")
    assert said.endswith("is not valid YAML: keys cannot be merged in with << (line 2); write them out")
    assert read(tmp_path, "'<<': 1") == {"<<": 1}


def test_a_new_value_of_one_name_of_a_key_replaces_the_other_name() -> None:
    for key, other in (("num_input_ch", "input_img_channels"), ("input_img_channels", "num_input_ch")):
        raw: dict[str, Any] = {key: 3, "epochs": 1}
        assert apply_override(raw, f"{other}=1") == []
        assert raw == {other: 1, "epochs": 1}


def test_a_key_twice_is_refused_in_an_override_too(tmp_path: Path) -> None:
    raw: dict[str, Any] = {}
    assert len(apply_override(raw, "a={b: 1, b: 2}")) == 1
    assert raw == {}


def test_a_path_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml("a\0b")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml("a" * 5000)


NUMBERS = {
    "010": "010 is 8 to YAML; write 10",
    "-0_17": "-0_17 is -15 to YAML; write -17",
    "00": "00 is 0 to YAML; write 0",
    "!!int '010'": "010 is 8 to YAML; write 10",
    "1:30": "1:30 is 90 to YAML; write 90",
    "1:30.5": "1:30.5 is 90.5 to YAML; write 90.5",
    "0b11": "0b11 is 3 to YAML; write 3",
    "0x10": "0x10 is 16 to YAML; write 16",
    "1_000": "1_000 is 1000 to YAML; write 1000",
    "1_0.5": "1_0.5 is 10.5 to YAML; write 10.5",
}
"""As written: what is said about it."""


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_that_yaml_reads_otherwise_is_refused_with_the_one_that_was_meant(text: str, tmp_path: Path) -> None:
    said, bare = NUMBERS[text], text.split()[-1].strip("'")
    place = f"{tmp_path / 'file.yaml'}: "
    assert refusal(tmp_path, f"a: {{b: [2, {text}]}}") == f"{place}a.b: {said}, or '{bare}' if it is a text"
    assert said in refusal(tmp_path, f"{text}: 1")
    assert said in refusal(tmp_path, f"a: &a {text}\nb: *a")
    raw: dict[str, Any] = {}
    assert apply_override(raw, f"a={text}") == [f"override {f'a={text}'!r}: {said}, or '{bare}' if it is a text"]
    assert raw == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("'010'", "010"), ("0", 0), ("-7", -7), ("0.5", 0.5), ("00.5", 0.5), ("1.0e-6", 1e-6), ("1e-6", "1e-6")),
        *(("a_1:2", "a_1:2"), ("08", "08"), ("None", None)),
    ],
)
def test_what_can_only_be_meant_so_is_read(text: str, value: Any, tmp_path: Path) -> None:
    assert read(tmp_path, f"a: {text}") == {"a": value}


def test_all_numbers_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, "epochs: 010\nset: {optimizer_params.eps: 1:30}\n")
    assert "epochs: 010 is 8" in said
    assert "set.optimizer_params.eps: 1:30 is 90" in said
