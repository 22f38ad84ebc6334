"""The official file: axes, crop, refusals, and memory that does not grow with it."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from datasets.preparation.official_nyu import open_official
from tests.datasets.preparation.official_frames import COLUMNS, HOLE, ROWS, SCENES, frame, write_official
from utils.errors import DataError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("official") / "nyu.mat")


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("depth", ["filled", "raw"])
def test_a_frame_is_the_crop_of_what_was_written(number: int, depth: str, official: Path) -> None:
    whole = frame(number)
    with open_official(official, depth) as source:  # type: ignore[arg-type]
        cropped = source.frame(number)
    assert cropped.number == number
    np.testing.assert_array_equal(cropped.image, whole["images"][ROWS, COLUMNS])
    np.testing.assert_array_equal(cropped.labels, whole["labels"][ROWS, COLUMNS])
    np.testing.assert_array_equal(cropped.depth, whole["depths" if depth == "filled" else "rawDepths"][ROWS, COLUMNS])
    np.testing.assert_array_equal(cropped.measured, whole["rawDepths"][ROWS, COLUMNS] > 0)
    assert cropped.image.shape == (425, 560, 3)
    assert (~cropped.measured).sum() == (HOLE[0].stop - HOLE[0].start) * (HOLE[1].stop - HOLE[1].start)


def test_frames_in_any_order_are_the_same(official: Path) -> None:
    with open_official(official) as source:
        assert source.count == 4
        for number in (4, 1, 3, 2, 4):
            assert source.frame(number).image[0, 0, 2] == 25 * number


def test_what_is_no_depth_is_0(tmp_path: Path) -> None:
    depths = np.stack([frame(1)["depths"].T])
    depths[0, 40:44, 45] = [np.nan, np.inf, -1, 0]
    with open_official(write_official(tmp_path / "nyu.mat", 1, None, ["rawDepths"], depths=depths)) as source:
        cropped = source.frame(1)
    assert cropped.depth[0, :4].tolist() == [0, 0, 0, 0]
    assert cropped.depth[0, 4] == frame(1)["depths"][45, 44]
    assert (cropped.measured == (cropped.depth > 0)).all()


def test_scenes_are_read_through_references(official: Path, tmp_path: Path) -> None:
    with open_official(official) as source:
        assert source.scenes() == list(SCENES)
    with open_official(write_official(tmp_path / "other.mat", 2, None)) as source:
        assert source.scenes() is None


def test_scenes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with (
        open_official(write_official(tmp_path / "few.mat", 2, ["a"])) as source,
        pytest.raises(DataError, match=r"few\.mat: dataset 'scenes' names 1 scenes; expected one per frame, 2"),
    ):
        source.scenes()
    path = write_official(tmp_path / "numbers.mat", 2, None)
    with h5py.File(path, "a") as file:
        file["scenes"] = np.zeros((1, 2))
    with open_official(path) as source, pytest.raises(DataError, match=r"dataset 'scenes' cannot be read"):
        source.scenes()


def test_a_page_or_half_a_download_is_refused(official: Path, tmp_path: Path) -> None:
    whole, path = official.read_bytes(), tmp_path / "nyu.mat"
    for content in (b"<html>404</html>", b"", whole[: len(whole) // 2], whole[:600]):
        path.write_bytes(content)
        with (
            pytest.raises(DataError, match=r"--mat .*nyu\.mat: is no MATLAB v7\.3 \(HDF5\) file, or only a part of one"),
            open_official(path),
        ):
            pass


def test_damage_inside_names_the_frame(official: Path, tmp_path: Path) -> None:
    path = tmp_path / "nyu.mat"
    content = bytearray(official.read_bytes())
    with h5py.File(official) as file:
        chunk = file["labels"].id.get_chunk_info_by_coord((3, 0, 0))
    start = chunk.byte_offset + 512 if content[chunk.byte_offset : chunk.byte_offset + 1] != b"\x78" else chunk.byte_offset
    content[start + 2 : start + 60] = b"\xff" * 58
    path.write_bytes(content)
    with open_official(path) as source:
        source.frame(1)
        with pytest.raises(DataError, match=r"nyu\.mat: frame 4 of labels cannot be read .* download it again"):
            source.frame(4)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("images", None, r"there is no dataset 'images', expected \(frames, 3, 640, 480\) of uint8"),
        ("images", np.zeros((2, 3, 320, 240), np.uint8), r"dataset 'images' is \(2, 3, 320, 240\) of uint8; expected"),
        ("labels", np.zeros((2, 640, 480), np.int32), r"dataset 'labels' is \(2, 640, 480\) of int32; expected"),
        ("rawDepths", np.zeros((2, 640, 48), np.float32), r"dataset 'rawDepths' is \(2, 640, 48\)"),
        ("labels", np.zeros((1, 640, 480), np.uint16), r"labels has 1 frames, but images has 2"),
    ],
)
def test_a_dataset_that_is_not_what_it_should_be_is_refused(
    name: str, array: np.ndarray | None, said: str, tmp_path: Path
) -> None:
    without, replaced = ([name], {}) if array is None else ([], {name: array})
    path = write_official(tmp_path / "nyu.mat", 2, None, without, **replaced)
    with pytest.raises(DataError, match=rf"nyu\.mat: {said}"), open_official(path):
        pass


def test_the_raw_depth_is_needed_only_when_it_is_asked_for(tmp_path: Path) -> None:
    path = write_official(tmp_path / "nyu.mat", 1, None, ["rawDepths"])
    with open_official(path) as source:
        assert not source.has_raw
    with pytest.raises(DataError, match="there is no dataset 'rawDepths'"), open_official(path, "raw"):
        pass
    with open_official(write_official(tmp_path / "raw.mat", 1, None, ["depths"]), "raw") as source:
        assert source.frame(1).depth.any()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of a process's memory is read from /proc")
@pytest.mark.parametrize("chunk", [1, 400])
def test_memory_does_not_grow_with_the_file(chunk: int, tmp_path: Path) -> None:
    """400 frames that were never written: 1.6 GB to read, nothing on disk."""
    path = tmp_path / "nyu.mat"
    with h5py.File(path, "w") as file:
        for name, shape, dtype in (
            ("images", (400, 3, 640, 480), "u1"),
            ("labels", (400, 640, 480), "u2"),
            ("depths", (400, 640, 480), "f4"),
            ("rawDepths", (400, 640, 480), "f4"),
        ):
            file.create_dataset(name, shape, dtype, chunks=(chunk, *shape[1:-2], 32, 480))
    code = (
        "import re, sys, pathlib; from datasets.preparation.official_nyu import open_official\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]) / 1024\n"
        "with open_official(pathlib.Path(sys.argv[1])) as source:\n"
        "    before = peak()\n"
        "    for number in range(1, 401, 40): source.frame(number)\n"
        "    print(before, peak() - before)"
    )
    command = [sys.executable, "-c", code, str(path)]
    before, growth = map(float, subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    assert growth < (320 if chunk > 1 else 20), "MiB"
    assert before + growth < 700, "MiB"
