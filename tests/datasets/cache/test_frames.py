"""The cache on disk: what it changes (no more than its rounding), when it is made anew, and what it survives."""

import json
import logging
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.base import MultiTaskDataset
from datasets.cache import frames as cache
from datasets.cache.frames import FOLDER, CachedFrames
from datasets.cache.parts import CODES, FACTS, PartWriter
from datasets.celeba import CelebAMaskHQ
from datasets.loaders import build_dataset, eval_loader, train_loader
from datasets.mtan import MTANDataset
from datasets.nyu import NYUDataset
from datasets.sample import Sample
from settings.config import ExperimentConfig
from tests.datasets.cached import SPLITS, assert_within_rounding, frames_of, nyu_config, part_folders, write_all, write_frames
from tests.equality import equal
from utils.errors import DataError

Configs = dict[str, Callable[..., ExperimentConfig]]
KINDS = (
    *("NYU", "NYU, its own size", "NYU, grey", "NYU, one task", "MTAN"),
    *("faces, void ignored", "faces, void is background", "faces, attributes alone"),
)
SCALED = {"augmentation": {"hflip": True, "scale_crop": [1.0, 1.5]}}

fork = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Configs:
    """Data sets of every kind, which no test changes."""
    return write_all(tmp_path_factory.mktemp("data"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Frames that a test may change."""
    write_frames(tmp_path / "nyu")
    return tmp_path / "nyu"


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it makes every further reading of a file a failure."""

    def forbid(*_: object) -> Sample:
        pytest.fail("a frame is read that is in the cache")

    def switch() -> None:
        for kind in (NYUDataset, MTANDataset, CelebAMaskHQ):
            monkeypatch.setattr(kind, "read", forbid)

    return switch


def _raw(dataset: MultiTaskDataset) -> list[Sample]:
    return [dataset.load(index) for index in range(len(dataset))]


# What comes out


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_the_same_to_the_stated_rounding(kind: str, configs: Configs, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        plain = build_dataset(configs[kind](cache=False), split)
        cached = build_dataset(configs[kind](cache=str(tmp_path)), split)
        assert cached.kept is not None
        assert plain.kept is None
        assert cached.names == plain.names
        for left, right in zip(_raw(cached), _raw(plain), strict=True):
            assert_within_rounding(left, right)
            for mask in right["masks"].values():
                assert mask.ndim == 0 or 0 < int(mask.sum()) < mask.numel() or "background" in kind, "the test needs holes"


@pytest.mark.parametrize("values", [SCALED, {**SCALED, "depth_target": "metric"}], ids=str)
@pytest.mark.parametrize("kind", ["NYU", "MTAN", "faces, void is background"])
def test_finished_batches_are_the_same_to_that_rounding(
    kind: str, values: dict[str, Any], configs: Configs, tmp_path: Path
) -> None:
    """A crop may hold a third of the frame's largest depth, and vectors that are averaged and set to length 1 multiply the
    rounding of the parts: no more than ten times."""
    plain, cached = (train_loader(configs[kind](cache=where, **values), 3) for where in (False, str(tmp_path)))
    for epoch in range(3):
        plain.sampler.epoch = cached.sampler.epoch = epoch  # type: ignore[union-attr]
        batches = list(zip(cached, plain, strict=True))
        assert batches
        for left, right in batches:
            assert_within_rounding(left, right, slack=10)
    for split in ("train", "val", "test"):
        plain, cached = (eval_loader(configs[kind](cache=where, **values), split) for where in (False, str(tmp_path)))
        for left, right in zip(cached, plain, strict=True):
            assert_within_rounding(left, right, slack=1 if values.get("depth_target") == "metric" else 2)


# When it is made


@pytest.mark.parametrize("kind", ["NYU", "faces, void ignored"])
def test_it_is_built_once_and_frames_are_not_read_again(
    kind: str, configs: Configs, tmp_path: Path, unread: Callable[[], None]
) -> None:
    first = _raw(build_dataset(configs[kind](cache=str(tmp_path)), "train"))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    unread()
    again = _raw(build_dataset(configs[kind](cache=str(tmp_path)), "train"))
    assert all(map(equal, again, first))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written


def test_on_means_beside_the_data(root: Path) -> None:
    build_dataset(nyu_config(root, cache=False), "val")
    assert not (root / FOLDER).exists()
    build_dataset(nyu_config(root).with_values(cache=True), "val")
    parts = part_folders(root / FOLDER)
    whats = ("image", "segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")
    assert sorted(name.rpartition("-")[0] for name in parts) == sorted(f"val-{what}" for what in whats)


WHATS = {"image", "segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture"}


def _new_parts(folder: Path, before: set[str]) -> set[str]:
    return {name.split("-")[1] for name in part_folders(folder) - before}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"input_shape": [16, 25]}, WHATS),
        ({"input_img_channels": 1}, {"image"}),
        ({"task_list": ["edge_texture", "segmentsemantic"]}, set()),
        (
            {**SCALED, "depth_target": "metric", "on_bad_sample": "skip", "val_batch_size": 1, "seed": 7, "num_workers": 2},
            set(),
        ),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # the same in every process
)
def test_what_makes_new_parts_of_nyu(
    values: dict[str, Any], expected: set[str], configs: Configs, tmp_path: Path, unread: Callable[[], None]
) -> None:
    build_dataset(configs["NYU, its own size"](cache=str(tmp_path)), "val")
    before = part_folders(tmp_path)
    if not expected:
        unread()
    own = {"task_list": list(WHATS - {"image"}), "input_shape": [24, 32]}
    config = nyu_config(configs["NYU"]().data_dir, cache=tmp_path, **{**own, **values})
    cached = build_dataset(config, "val")
    assert _new_parts(tmp_path, before) == expected
    if expected:
        plain = build_dataset(config.with_values(cache=False), "val")
        for left, right in zip(_raw(cached), _raw(plain), strict=True):
            assert_within_rounding(left, right)


def test_frames_that_another_version_of_the_reader_kept_are_not_served(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 1 kept pixels that are read otherwise now."""
    assert cache.VERSION > 1
    monkeypatch.setattr(cache, "VERSION", 1)
    build_dataset(nyu_config(root, cache=tmp_path / "kept"), "val")
    before = part_folders(tmp_path / "kept")
    monkeypatch.undo()
    build_dataset(nyu_config(root, cache=tmp_path / "kept"), "val")
    assert _new_parts(tmp_path / "kept", before) == WHATS


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mask_void": "background"}, {"segmentsemantic"}),
        ({"task_list": ["class_smile", "class_glasses"]}, set()),
    ],
    ids=str,
)
def test_what_makes_new_parts_of_faces(
    values: dict[str, Any], expected: set[str], configs: Configs, tmp_path: Path, unread: Callable[[], None]
) -> None:
    base = configs["faces, void ignored"](cache=str(tmp_path))
    build_dataset(base, "train")
    before = part_folders(tmp_path)
    assert {name.split("-")[1] for name in before} == {"image", "segmentsemantic"}, "attributes lie in memory"
    if not expected:
        unread()
    config = base.with_values(**values)
    cached = build_dataset(config, "train")
    assert _new_parts(tmp_path, before) == expected
    if expected:
        for left, right in zip(_raw(cached), _raw(build_dataset(config.with_values(cache=False), "train")), strict=True):
            assert_within_rounding(left, right)


def _rewrite(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file's content and its time of change, of which some file systems keep few digits."""
    change(path)
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize(
    ("file", "expected"),
    [("depth/b1.npy", {"depth_euclidean"}), ("segmentation/b1.png", {"segmentsemantic"}), ("images/b1.jpg", WHATS)],
)
def test_a_file_that_changes_is_read_again(file: str, expected: set[str], root: Path, tmp_path: Path) -> None:
    """A target depends on its image too: both must have one size."""
    config = nyu_config(root, cache=tmp_path / "kept")
    before = _raw(build_dataset(config, "val"))
    parts = part_folders(tmp_path / "kept")
    other = next((root / file).parent.glob("a3.*"))
    _rewrite(root / file, lambda path: shutil.copyfile(other, path))
    after = build_dataset(config, "val")
    assert _new_parts(tmp_path / "kept", parts) == expected
    assert not equal(after.load(1), before[1])
    assert equal(after.load(0), before[0])
    assert_within_rounding(after.load(1), build_dataset(nyu_config(root), "val").load(1))


@pytest.mark.parametrize("what", ["size", "time"])
def test_size_and_time_say_that_a_file_changed(what: str, root: Path, tmp_path: Path) -> None:
    path, config = root / "depth/b1.npy", nyu_config(root, cache=tmp_path / "kept")
    build_dataset(config, "val")
    parts = part_folders(tmp_path / "kept")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    if what == "size":
        np.save(path, np.load(path).astype(np.float64))
    os.utime(path, ns=times if what == "size" else (times[0], times[1] + 1))
    build_dataset(config, "val")
    assert _new_parts(tmp_path / "kept", parts) == {"depth_euclidean"}


def _copy_with_times(source: Path, target: Path) -> None:
    """A file in the place of one of equal size, with its time of change, as archives with normalised times leave it."""
    assert source.stat().st_size == target.stat().st_size
    time_ns = target.stat().st_mtime_ns
    target.write_bytes(source.read_bytes())
    os.utime(target, ns=(time_ns, time_ns))


def _other_depth(path: Path) -> None:
    """Other values in a file of the same size and time."""
    np.save(path.with_name("other.npy"), np.load(path) / 2)
    _copy_with_times(path.with_name("other.npy"), path)
    path.with_name("other.npy").unlink()


def test_two_sets_of_equal_names_sizes_and_times_share_nothing(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(root, other)
    for path in (other / "depth").iterdir():
        _other_depth(path)
        os.utime(path, ns=(0, 0))
        os.utime(root / "depth" / path.name, ns=(0, 0))
    for folder in (root, other):
        config = nyu_config(folder, cache=tmp_path / "kept")
        for sample, plain in zip(
            _raw(build_dataset(config, "val")), _raw(build_dataset(config.with_values(cache=False), "val")), strict=True
        ):
            assert_within_rounding(sample, plain)
    assert len(part_folders(tmp_path / "kept")) == 10


def test_other_content_in_the_same_place_is_read_again(root: Path, tmp_path: Path) -> None:
    """As when another data set is mounted where the first was; and one file alone of a set that is not large."""
    config = nyu_config(root, cache=tmp_path / "kept")
    before = _raw(build_dataset(config, "val"))
    parts = part_folders(tmp_path / "kept")
    _other_depth(root / "depth/b1.npy")
    after = build_dataset(config, "val")
    assert _new_parts(tmp_path / "kept", parts) == {"depth_euclidean"}
    assert not equal(after.load(1), before[1])


def test_only_some_of_the_content_of_many_files_is_looked_at(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/data.md says that such a change is not seen."""
    monkeypatch.setattr(cache, "SAMPLED", 2)
    looked_at: list[Path] = []
    monkeypatch.setattr(cache, "fingerprint", lambda path: looked_at.append(path) or path.read_bytes().hex())
    config = nyu_config(root, cache=tmp_path / "kept", task_list=["depth_euclidean"])
    build_dataset(config, "val")
    assert looked_at == [root / name for name in ("images/b0.jpg", "images/b2.jpg", "depth/b0.npy", "depth/b2.npy")]
    parts = part_folders(tmp_path / "kept")
    _other_depth(root / "depth/b1.npy")
    build_dataset(config, "val")
    assert _new_parts(tmp_path / "kept", parts) == set()
    os.utime(root / "depth/b1.npy")
    build_dataset(config, "val")
    assert _new_parts(tmp_path / "kept", parts) == {"depth_euclidean"}


def test_a_folder_is_the_same_through_a_link_and_another_one_when_it_is_moved(root: Path, tmp_path: Path) -> None:
    build_dataset(nyu_config(root, cache=tmp_path / "kept"), "val")
    parts = part_folders(tmp_path / "kept")
    (tmp_path / "link").symlink_to(root)
    build_dataset(nyu_config(tmp_path / "link", cache=tmp_path / "kept"), "val")
    assert part_folders(tmp_path / "kept") == parts
    root.rename(tmp_path / "moved")
    build_dataset(nyu_config(tmp_path / "moved", cache=tmp_path / "kept"), "val")
    assert _new_parts(tmp_path / "kept", parts) == WHATS


def test_a_link_that_leads_to_another_file_is_another_file(root: Path, tmp_path: Path) -> None:
    for name, factor in (("one.npy", 0.5), ("two.npy", 1)):
        np.save(tmp_path / name, np.load(root / "depth/b1.npy") * factor)
        os.utime(tmp_path / name, ns=(0, 0))
    config = nyu_config(root, cache=tmp_path / "kept")
    means = []
    for name in ("one.npy", "two.npy"):
        (root / "depth/b1.npy").unlink()
        (root / "depth/b1.npy").symlink_to(tmp_path / name)
        means.append(float(build_dataset(config, "val").load(1)["targets"]["depth_euclidean"].mean()))
    assert means[1] == pytest.approx(2 * means[0], rel=1e-3)


def test_an_image_of_another_size_is_found_though_its_targets_are_kept(root: Path, tmp_path: Path) -> None:
    config = nyu_config(root, cache=tmp_path / "kept")
    build_dataset(config, "val")
    write_frames(tmp_path / "larger", (30, 40))
    _rewrite(root / "images/b1.jpg", lambda path: shutil.copyfile(tmp_path / "larger/images/b1.jpg", path))
    with pytest.raises(DataError, match=r"b1\.png is \(24, 32\) .* but .*b1\.jpg is \(30, 40\); they must be the same"):
        build_dataset(config, "val")


# What it survives


def _slow_reads(counter: Any, before: float) -> Callable[..., Sample]:
    read = NYUDataset.read

    def slow(self: NYUDataset, name: str) -> Sample:
        with counter.get_lock():
            counter.value += 1
        time.sleep(before)
        return read(self, name)

    return slow


def _build_and_tell(config: ExperimentConfig, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        samples = _raw(build_dataset(config, "train"))
        results.put([(sample["image"].sum().item(), sample["targets"]["depth_euclidean"].sum().item()) for sample in samples])
    except BaseException as error:
        results.put(repr(error))
        raise


def test_processes_that_start_together_build_one_cache(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, barrier, results = fork.Value("i", 0), fork.Barrier(3), fork.SimpleQueue()
    monkeypatch.setattr(NYUDataset, "read", _slow_reads(reads, 0.03))
    config = nyu_config(root, cache=tmp_path / "kept")
    processes = [fork.Process(target=_build_and_tell, args=(config, barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join()
    samples = _raw(build_dataset(config, "train"))
    own = [(sample["image"].sum().item(), sample["targets"]["depth_euclidean"].sum().item()) for sample in samples]
    assert answers == [own] * 3
    assert reads.value == 7, "each frame is read once, by one of them"
    assert len(part_folders(tmp_path / "kept")) == 5


def _die_while_filling(config: ExperimentConfig, moment: str) -> None:
    read, finish = NYUDataset.read, PartWriter.finish
    done = []

    def reading(self: NYUDataset, name: str) -> Sample:
        if name == "a4":
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, name)

    def finishing(self: PartWriter) -> None:
        finish(self)
        done.append(self)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def naming(source: Path, target: Path) -> None:
        if source.is_dir():
            os.kill(os.getpid(), signal.SIGKILL)
        os.rename(source, target)

    if moment == "reading":
        NYUDataset.read = reading  # type: ignore[method-assign]
    elif moment == "between two parts":
        PartWriter.finish = finishing  # type: ignore[method-assign]
    else:
        os.replace = naming
    build_dataset(config, "train")


@pytest.mark.parametrize(("moment", "whole"), [("reading", 0), ("between two parts", 2), ("naming a part", 0)])
def test_what_a_killed_process_left_is_never_taken_for_a_part(moment: str, whole: int, root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    config = nyu_config(root, cache=kept)
    process = fork.Process(target=_die_while_filling, args=(config, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [path.name for path in kept.iterdir() if path.name.endswith(".unfinished")]
    assert len(left) == 5 - whole
    dataset = build_dataset(config, "train")
    assert len(part_folders(kept)) == 5
    for sample, fresh in zip(_raw(dataset), _raw(build_dataset(nyu_config(root), "train")), strict=True):
        assert_within_rounding(sample, fresh)


def _facts(part: Path, **changes: Any) -> None:
    (part / FACTS).write_text(json.dumps({**json.loads((part / FACTS).read_text()), **changes}))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "codes are cut": lambda part: os.truncate(part / CODES, (part / CODES).stat().st_size // 2),
    "facts are gone": lambda part: (part / FACTS).unlink(),
    "another frame": lambda part: _facts(part, names=["b0", "b1", "b9"]),
    "an empty folder": lambda part: [path.unlink() for path in part.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_made_again_with_a_warning(
    damage: str, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "kept"
    config = nyu_config(root, cache=kept)
    before = _raw(build_dataset(config, "val"))
    names = part_folders(kept)
    part = next(path for path in kept.iterdir() if path.name.startswith("val-depth"))
    others = {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file() and part not in path.parents}
    DAMAGE[damage](part)
    caplog.clear()
    after = build_dataset(config, "val")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"cache: {part} is damaged and is made again (")
    assert all(map(equal, _raw(after), before))
    assert part_folders(kept) == names
    assert all(path.stat().st_mtime_ns == changed for path, changed in others.items() if path.name != ".lock")


REMEDY = r"; give another folder \(cache: <folder>\), or cache: off$"


@pytest.mark.parametrize(("place", "reason"), [("file/below", "Not a directory|File exists"), ("n" * 300, "File name too ")])
def test_a_folder_that_cannot_be_made_is_one_sentence(place: str, reason: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"^cache: {tmp_path / place} cannot be written \(({reason})(long)?\){REMEDY}"):
        build_dataset(nyu_config(root, cache=tmp_path / place), "val")


def test_a_disk_that_is_too_small_is_found_before_any_work(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unread: Callable[[], None]
) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10_000))
    unread()
    with pytest.raises(DataError, match=rf"^cache: .*/kept cannot be written \(it needs .* GB, and .* GB are free\){REMEDY}"):
        build_dataset(nyu_config(root, cache=tmp_path / "kept"), "val")
    assert not part_folders(tmp_path / "kept")


def _fill_a_full_disk(config: ExperimentConfig, limit: int, results: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        build_dataset(config, "train")
    except Exception as error:
        results.put((type(error).__name__, str(error)))
    else:
        results.put(("", "no error"))


@pytest.mark.parametrize("limit", [100, 8000])
def test_a_disk_that_fills_up_is_one_sentence_and_nothing_is_left(limit: int, root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    results = fork.SimpleQueue()
    process = fork.Process(target=_fill_a_full_disk, args=(nyu_config(root, cache=kept), limit, results))
    process.start()
    process.join()
    assert not results.empty()
    kind, said = results.get()
    assert (kind, said) == (
        "DataError",
        f"cache: {kept} cannot be written (File too large); give another folder (cache: <folder>), or cache: off",
    )
    left = part_folders(kept)
    assert len(left) < 5
    for sample, fresh in zip(
        _raw(build_dataset(nyu_config(root, cache=kept), "train")), _raw(build_dataset(nyu_config(root), "train")), strict=True
    ):
        assert_within_rounding(sample, fresh)


def test_beside_data_that_cannot_be_written_the_users_cache_folder_is_taken(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache.os, "access", lambda path, mode: not (mode == os.W_OK and Path(path) == root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    caplog.set_level(logging.INFO)
    dataset = build_dataset(nyu_config(root).with_values(cache=True), "val")
    own = tmp_path / "mine/less-is-more" / FOLDER
    assert f"cache: {root} cannot be written, so the frames are kept in {own}" in caplog.messages
    assert not (root / FOLDER).exists()
    assert len(part_folders(own)) == 5
    assert dataset.kept is not None


def test_without_that_variable_it_is_below_the_home_folder(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.os, "access", lambda *_: False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = nyu_config(root)
    assert cache.cache_folders(config.with_values(cache=True)) == [
        root / FOLDER,
        tmp_path / "home/.cache/less-is-more" / FOLDER,
    ]
    for written in ("~/frames", "$HOME/frames"):
        assert cache.cache_folders(config.with_values(cache=written)) == [tmp_path / "home/frames"]


def test_a_cache_beside_data_that_cannot_be_written_is_used(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unread: Callable[[], None]
) -> None:
    config = nyu_config(root).with_values(cache=True)
    build_dataset(config, "val")
    monkeypatch.setattr(cache.os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    unread()
    assert build_dataset(config, "val").kept is not None
    assert not (tmp_path / "mine").exists()


# Other processes


def test_pickling_a_cached_data_set_opens_its_maps_again(configs: Configs, tmp_path: Path) -> None:
    dataset = build_dataset(configs["NYU"](cache=str(tmp_path)), "train")
    text = pickle.dumps(dataset)
    codes = sum(path.stat().st_size for path in tmp_path.rglob(CODES))
    assert len(text) < codes / 5
    again = pickle.loads(text)
    assert isinstance(again.kept, CachedFrames)
    assert all(isinstance(part.codes, np.memmap) for part in again.kept._parts.values())
    assert all(map(equal, _raw(again), _raw(dataset)))


def test_every_split_has_parts_of_its_own(root: Path, tmp_path: Path) -> None:
    config = nyu_config(root, cache=tmp_path / "kept")
    for split, names in SPLITS.items():
        assert frames_of(eval_loader(config, split)) == list(names)
    assert len(part_folders(tmp_path / "kept")) == 15
