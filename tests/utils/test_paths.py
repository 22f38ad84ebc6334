"""Paths as people write them: home folders and environment variables."""

import re
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.paths import expanded


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder, and variables that are set, empty, and not there."""
    for name, value in {"HOME": "/home/me", "DATA": "/data", "WRITTEN": "~/rooms", "PART": "big_", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOWHERE", raising=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~", "/home/me"),
        ("~/set", "/home/me/set"),
        ("${HOME}/set", "/home/me/set"),
        ("$DATA/$DATA", "/data/data"),
        ("runs/${PART}set", "runs/big_set"),
        ("$WRITTEN/1", "/home/me/rooms/1"),
        ("a/~/b", "a/~/b"),
        ("cost$5/a$", "cost$5/a$"),
        ("/absolute", "/absolute"),
    ],
)
def test_a_path_leads_where_a_shell_would_go(written: str, meant: str) -> None:
    assert expanded(written) == Path(meant)
    assert expanded(Path(written)) == Path(meant)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$NOWHERE/set", "'$NOWHERE/set': the environment variable NOWHERE is not set; set it, or write the path out"),
        ("a/${NOWHERE}", "'a/${NOWHERE}': the environment variable NOWHERE is not set; set it, or write the path out"),
        ("$EMPTY/set", "'$EMPTY/set': the environment variable EMPTY is not set; set it, or write the path out"),
        (
            "~no-such-user/a",
            "'~no-such-user/a': ~no-such-user has no home folder here; write the path out",
        ),
        ("", "'' is not valid; expected a path"),
        ("a\0b", r"'a\x00b' is not valid; expected a path"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_sentence(written: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        expanded(written)
    with pytest.raises(UserError, match=f"^cache: {re.escape(said)}$"):
        expanded(written, "cache")


def test_a_name_that_really_has_a_dollar_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d$Money").mkdir()
    assert expanded(str(tmp_path / "d$Money")) == tmp_path / "d$Money"
    monkeypatch.setenv("Money", "x")
    assert expanded(str(tmp_path / "e$Money")) == tmp_path / "ex"
