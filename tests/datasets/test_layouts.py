"""The shipped configurations of official data sets (``config/cityscapes.yaml``, ``config/pascal_context.yaml``) load generated
files of the official form, with the numbers that their authors mean, and train."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.folders import own_splits
from datasets.loaders import build_dataset
from datasets.preparation.pascal_context import write_targets
from datasets.sample import Sample
from engine.experiment import run_experiment
from settings.config import ExperimentConfig, load_config
from tests.datasets.official_layouts import DISPARITY, LABEL_IDS, PASCAL, SALIENCY, semseg_of, write_cityscapes, write_pascal
from tests.narrow import resnet18_narrow
from tests.undrawn import undrawn_runs
from utils.errors import ConfigError, DataError

__all__ = ["undrawn_runs"]

CONFIG = Path(__file__).parents[2] / "config"
SMALL = (
    *("backbone=resnet18", "output_stride=16", "init_weights=null", "head_width=8", "aspp_rates=[2]", "device=cpu"),
    *("precision=fp32", "num_trials=1", "epochs=1", "num_workers=0", "cache=off", "train_batch_size=2"),
)
TRAIN_IDS = """
    255 255 255 255 255 255 255 0 1 255 255 2 3 4 255 255 255 5 255 6 7 8 9 10 11 12 13 14 15 255 255 16 17 18
""".split()
"""The official class of evaluation for each number of a label image, from 0 to 33; 255: not evaluated."""


def shipped(name: str, data: Path, *overrides: str) -> ExperimentConfig:
    """Return a shipped configuration of a small network, for the data in ``data``."""
    return load_config(CONFIG / f"{name}.yaml", [*SMALL, f"data_dir={data}", f"checkpoint_folder={data}/runs", *overrides])


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    root = tmp_path_factory.mktemp("cityscapes")
    write_cityscapes(root)
    return shipped("cityscapes", root, "input_shape=[32,64]")


@pytest.fixture(scope="module")
def pascal(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    root = tmp_path_factory.mktemp("pascal")
    write_pascal(root)
    write_targets(root)
    return shipped("pascal_context", root, "input_shape=32")


def sample(config: ExperimentConfig, split: str, name: str) -> Sample:
    """Return a frame of a split as it is on the disk."""
    dataset = build_dataset(config, split)
    assert name in dataset.names
    return dataset.read(name)


def test_cityscapes_cuts_whole_cities_and_tests_on_the_official_validation_frames(cityscapes: ExperimentConfig) -> None:
    cities = {role: {frame.rpartition("/")[0] for frame in frames} for role, frames in own_splits(cityscapes).items()}
    assert cities == {
        "train": {"train/aachen", "train/bochum"},
        "val": {"train/darmstadt", "train/ulm", "train/zurich"},
        "test": {"val/frankfurt"},
    }


@pytest.mark.parametrize(
    ("split", "frame"), [("train", "train/aachen/aachen_000003"), ("test", "val/frankfurt/frankfurt_000001")]
)
def test_cityscapes_has_the_official_classes_and_disparities(cityscapes: ExperimentConfig, split: str, frame: str) -> None:
    read = sample(cityscapes, split, f"{frame}_000019")
    expected = np.array(TRAIN_IDS, np.uint8)[LABEL_IDS]
    assert np.array_equal(read["targets"]["segmentation"][0], expected)
    assert np.array_equal(read["masks"]["segmentation"][0], expected != 255)
    assert np.array_equal(read["masks"]["disparity"][0], DISPARITY > 0)
    disparity = read["targets"]["disparity"][0].numpy()
    assert np.array_equal(disparity[DISPARITY > 0], (DISPARITY[DISPARITY > 0].astype(np.float32) - 1) / 256)
    assert disparity.max() == 126


@pytest.mark.parametrize(
    ("split", "frame", "voc12"),
    [("train", "2008_000000", False), ("train", "2008_000001", True), ("test", "2010_000001", True)],
)
def test_pascal_has_the_fields_targets(pascal: ExperimentConfig, split: str, frame: str, voc12: bool) -> None:
    read = sample(pascal, split, frame)
    targets, masks = ({task: value.numpy() for task, value in read[key].items()} for key in ("targets", "masks"))  # type: ignore[literal-required]
    classes = semseg_of(frame, voc12)
    assert np.array_equal(targets["semseg"][0], classes) and np.array_equal(masks["semseg"][0], classes != 255)
    assert not masks["normals"][:, :, :4].any() and masks["normals"][:, :, 4:].all()
    assert targets["normals"][2, :, 4:24] == pytest.approx(1, abs=1e-4)
    assert targets["normals"][0, :, 24:] == pytest.approx(-1, abs=1e-4)
    assert np.array_equal(targets["saliency"][0], SALIENCY > 127)
    expected = np.zeros((40, 48))
    expected[10:, 23] = expected[9, 24:] = 1
    assert np.array_equal(targets["edges"][0], expected) and masks["edges"].all()


def test_pascal_splits_are_the_official_lists(pascal: ExperimentConfig) -> None:
    splits = own_splits(pascal)
    assert sorted(splits["train"] + splits["val"]) == PASCAL["train"] and splits["test"] == PASCAL["val"]
    assert len(splits["val"]) == 1


def test_pascal_frames_without_people_have_no_parts(pascal: ExperimentConfig) -> None:
    dataset = build_dataset(pascal, "train")
    known = {frame: bool(dataset.read(frame)["masks"]["human_parts"].any()) for frame in dataset.names}
    assert {frame for frame, has_parts in known.items() if not has_parts} == {"2008_000001", "2008_000002"} & set(known)
    parts = dataset.read("2008_000000")["targets"]["human_parts"][0]
    assert (parts[4:9, 6:12] == 1).all() and (parts[9:12, 6:12] == 2).all() and (parts[32:36, 22:26] == 6).all()
    assert torch.count_nonzero(parts) == 5 * 6 + 3 * 6 + 4 * 4


@pytest.mark.parametrize("name", ["cityscapes", "pascal"])
def test_a_saved_configuration_is_read_back(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config: Any = request.getfixturevalue(name)
    config.save(tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ({"train": "train", "test": ["val", "train/"]}, "split_folders: names 'train' twice; a folder belongs to one split"),
        ({"train": "train", "test": "../val"}, "split_folders"),
        ({"train": "train", "val": [], "test": "val"}, "split_folders"),
    ],
)
def test_split_folders_that_cannot_be_meant_are_refused(
    cityscapes: ExperimentConfig, folders: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        cityscapes.with_values(split_folders=folders)


def test_one_way_to_say_the_splits_is_enough(cityscapes: ExperimentConfig) -> None:
    with pytest.raises(ConfigError, match=r"split_folders: contradicts split_fractions; give one of them"):
        cityscapes.with_values(split_fractions={"train": 0.5, "val": 0.25, "test": 0.25})


def test_a_folder_without_images_is_named(cityscapes: ExperimentConfig) -> None:
    config = cityscapes.with_values(split_folders={"train": "train", "val": "train/trier", "test": "val"})
    with pytest.raises(DataError, match=r"split_folders\.val: there is no image in .*leftImg8bit/train/trier"):
        own_splits(config)


def test_without_validation_folders_it_is_cut_from_the_training_frames(cityscapes: ExperimentConfig) -> None:
    splits = own_splits(cityscapes.with_values(split_folders={"train": "train", "test": "val"}, val_fraction=0.25))
    assert {role: len(frames) for role, frames in splits.items()} == {"train": 6, "val": 2, "test": 2}


@pytest.mark.parametrize("name", ["cityscapes", "pascal"])
def test_it_trains_and_is_tested(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config: Any = request.getfixturevalue(name)
    with resnet18_narrow():
        table = run_experiment(config, out_dir=tmp_path)
    main = {f"{task.name}_{task.main_metric}" for task in config.tasks.values()}
    assert len(table) == 1
    assert main <= {column.removeprefix("test_").replace("/", "_") for column in table}
    assert np.isfinite(table.select_dtypes("number").filter(regex="|".join(config.tasks)).to_numpy(float)).all()
