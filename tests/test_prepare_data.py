"""The command line that prepares data: help at once, and one line for every mistake."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

import prepare_data
from tests.datasets.preparation.command import exit_code, refused

ROOT = Path(prepare_data.__file__).parent
COMMANDS = ("nyu", "celeba", "pascal", "synthetic", "describe", "verify")


@pytest.mark.parametrize("arguments", [(command,) for command in COMMANDS], ids=" ".join)
def test_help_comes_at_once(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "prepare_data.py", *arguments, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage: prepare_data.py" in done.stdout
    assert not re.search(r"\| +(torch|numpy|scipy|h5py|PIL|pydantic)\b", done.stderr), "what takes long to import"


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    listed = capsys.readouterr().out.partition("commands:")[2]
    assert re.findall(r"^    (\w+)", listed, re.MULTILINE) == list(COMMANDS)
    assert tuple(prepare_data.commands()) == COMMANDS == tuple(prepare_data.AFTER_CTRL_C)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a command: nyu, celeba, pascal, synthetic, describe, verify"),
        (("verfy", "--data_dir", "x"), "verfy: there is no such command; .*; did you mean verify?"),
        (("moon",), "moon: there is no such command; expected nyu, .*--help"),
        (("synthetic", "--datset", "nyu"), "--datset: there is no such option; did you mean --dataset?"),
        (("synthetic", "--dataset", "nyu", "--overwrit"), "did you mean --overwrite?"),
        (("verify", "--quixotry"), "--quixotry: there is no such option; --help"),
        (("verify",), "one of the arguments --data_dir --config_exp is required"),
        (("verify", "--data_dir", "x", "--config_exp", "y"), "--config_exp: not allowed with argument --data_dir"),
        (("describe",), "required: --data_dir"),
        (("verify", "--data_dir", "x", "--workers", "0"), "--workers: 0 is not a whole number from 1"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*arguments) == 2
    message = refused(capsys)
    assert message.startswith("prepare_data.py")
    assert re.search(said.replace("?", r"\?"), message), message


def test_ctrl_c_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_data, "parse", lambda arguments: argparse.Namespace(command="nyu", run=run))
    assert exit_code("nyu") == 130
    assert refused(capsys) == "interrupted; the same command continues where it stopped\n"
