"""Command lines that scripts share."""

import pytest

from utils.cli import continuing


@pytest.mark.parametrize(
    ("typed", "options", "expected"),
    [
        ("python main.py a.yaml 'x=[1, 2]' --overwrite", ["--resume"], "python main.py a.yaml 'x=[1, 2]' --resume"),
        ("python main.py --overw a.yaml --out_dir o", ["--resume"], "python main.py a.yaml --out_dir o --resume"),
        ("python main.py a.yaml --resume --jobs 2", ["--resume"], "python main.py a.yaml --resume --jobs 2"),
        ("python main.py --overwrite study.yaml", [], "python main.py study.yaml"),
    ],
)
def test_the_command_that_goes_on_keeps_what_was_typed(typed: str, options: list[str], expected: str) -> None:
    assert continuing(typed, *options) == expected
