"""Parts on disk: whole or not there, mapped and not copied, and refused where they are damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.cache.parts import CODES, DAMAGED, FACTS, Part, PartWriter

SHAPE, TYPE = (2, 30, 40), np.dtype(np.uint16)


def _codes(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 65536, SHAPE).astype(TYPE)


def _write(path: Path, count: int = 5) -> Part:
    """Frames f0, f1, ..., and one that could not be read."""
    writer = PartWriter(path, SHAPE, TYPE)
    for number in range(count):
        writer.add(f"f{number}", _codes(number), 0.1 * number)
    writer.add_bad("broken", "why")
    writer.finish()
    return Part(path)


def test_frames_come_in_any_order_with_their_scales(tmp_path: Path) -> None:
    part = _write(tmp_path / "part")
    codes, scales = part.take(["f3", "f0", "f3"])
    assert codes.dtype == TYPE
    assert (codes == np.stack([_codes(3), _codes(0), _codes(3)])).all()
    assert scales.tolist() == [0.1 * 3, 0.0, 0.1 * 3]
    assert part.bad == {"broken": "why"}
    assert list(part.rows) == [f"f{number}" for number in range(5)]


def test_what_is_taken_belongs_to_the_taker(tmp_path: Path) -> None:
    part = _write(tmp_path / "part")
    part.take(["f1"])[0].fill(7)
    assert (part.take(["f1"])[0][0] == _codes(1)).all()
    with pytest.raises(ValueError, match="read-only"):
        part.codes[0] = 1


def test_a_part_is_there_when_it_is_finished_and_not_before(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "part", SHAPE, TYPE)
    writer.add("f0", _codes(0), 1.0)
    (temporary,) = tmp_path.iterdir()
    assert temporary.name.startswith(".")
    assert temporary.name.endswith(".unfinished")
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert {path.name for path in (tmp_path / "part").iterdir()} == {CODES, FACTS}
    writer.discard()
    assert Part(tmp_path / "part").rows == {"f0": 0}


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "part", SHAPE, TYPE)
    writer.add("f0", _codes(0), 1.0)
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_part_of_bad_frames_alone_can_be_read(tmp_path: Path) -> None:
    part = _write(tmp_path / "part", 0)
    assert part.bad == {"broken": "why"}
    part.check(["broken"], SHAPE, TYPE)


def test_codes_of_another_shape_or_type_are_a_mistake_of_ours(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "part", SHAPE, TYPE)
    for wrong in (_codes(0)[:1], _codes(0).astype(np.int16)):
        with pytest.raises(AssertionError):
            writer.add("f0", wrong, 1.0)
    writer.discard()


# Damage


def _facts(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps({**facts, **changes}))

    return change


def _cut(file: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(share * len(content))])

    return change


def _longer(folder: Path) -> None:
    with (folder / CODES).open("ab") as file:
        file.write(b"\0")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "codes cut": _cut(CODES, 0.9),
    "codes too long": _longer,
    "no codes": lambda folder: (folder / CODES).unlink(),
    "no facts": lambda folder: (folder / FACTS).unlink(),
    "facts cut": _cut(FACTS, 0.7),
    "facts are bytes": lambda folder: (folder / FACTS).write_bytes(b"\xff\xfe\x00" * 9),
    "facts are a list": lambda folder: (folder / FACTS).write_text("[1, 2]"),
    "facts are deep": lambda folder: (folder / FACTS).write_text("[" * 100_000),
    "facts lack a key": lambda folder: (folder / FACTS).write_text('{"names": []}'),
    "a scale too few": _facts(scales=[1.0, 2.0]),
    "an endless shape": _facts(shape=[float("inf"), 1, 1]),
    "shape and no list": _facts(shape=7),
    "type without a meaning": _facts(type="<q7"),
    "type of text": _facts(type="<U1"),
    "objects, which are addresses": _facts(type="|O", shape=[1, 15, 20]),
    "names are lists": _facts(names=[["f0"]] * 5),
    "bad frames are a list": _facts(bad=["broken"]),
    "a bad frame without a reason": _facts(bad={"broken": None}),
    "a frame is lost": _facts(names=["f0", "f1", "f2", "f3", "f5"]),
    "frames are turned": _facts(shape=[2, 40, 30]),
    "signs appear": _facts(type="<i2"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_refused(damage: str, tmp_path: Path) -> None:
    wanted = [*(f"f{number}" for number in range(5)), "broken"]
    _write(tmp_path / "part").check(wanted, SHAPE, TYPE)
    DAMAGE[damage](tmp_path / "part")
    with pytest.raises(DAMAGED):
        Part(tmp_path / "part").check(wanted, SHAPE, TYPE)
