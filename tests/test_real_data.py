"""Real NYU-v2 in NYUD_MT layout, read as the training reads it. Needs its folder in the environment: NYUD_MT_ROOT."""

import os
from pathlib import Path

import pytest
import torch

from datasets import build_dataset, eval_loader, train_loader
from datasets.nyu import nyu_splits
from settings.config import ExperimentConfig
from tasks.table import IGNORE_INDEX, get_task
from tests.configs import make_config

ROOT = os.environ.get("NYUD_MT_ROOT", "")
TASKS = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")
SIZE = 64
FRAMES = 40

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        not Path(ROOT or "/nowhere").is_dir(), reason="NYUD_MT_ROOT names no folder with NYU-v2 in NYUD_MT layout"
    ),
]


def config(**values: object) -> ExperimentConfig:
    """All four tasks, or those that the copy has files for."""
    tasks = [task for task in TASKS if (Path(ROOT) / get_task(task).place).is_dir()]
    return make_config(**{"data_dir_NYU": ROOT, "task_list": tasks, "input_shape": SIZE, **values})


def test_splits_are_disjoint_and_the_official_ones() -> None:
    splits = nyu_splits(config())
    names = [set(splits[role]) for role in ("train", "val", "test")]
    assert [len(part) for part in names] == [len(splits[role]) for role in ("train", "val", "test")]
    assert len(set.union(*names)) == sum(map(len, names))
    if len(list((Path(ROOT) / "images").iterdir())) == 1449:
        assert (len(names[0]) + len(names[1]), len(names[2])) == (795, 654)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_frames_have_the_agreed_shapes_ranges_and_masks(split: str) -> None:
    dataset = build_dataset(config(), split)
    present: set[int] = set()
    for index in range(0, len(dataset), max(1, len(dataset) // FRAMES)):
        sample = dataset[index]
        assert sample["image"].shape == (3, SIZE, SIZE)
        assert 0 <= float(sample["image"].min()) < float(sample["image"].max()) <= 1
        for task, target in sample["targets"].items():
            mask = sample["masks"][task]
            assert mask.dtype == torch.bool
            assert mask.float().mean() > 0.2, f"{task} of {sample['name']} is nearly empty"
            if task == "segmentsemantic":
                assert target.shape == mask.shape == (SIZE, SIZE)
                assert (target[~mask] == IGNORE_INDEX).all()
                present |= set(target[mask].tolist())
            elif task == "surface_normal":
                assert target.shape == (3, SIZE, SIZE)
                torch.testing.assert_close(target.norm(dim=0)[mask[0]], torch.ones(int(mask.sum())))
                assert not target[:, ~mask[0]].any()
            else:
                assert target.shape == mask.shape == (1, SIZE, SIZE)
                assert 0 <= float(target.min()) < float(target.max()) <= 1
                assert not target[~mask].any()
            if task == "depth_euclidean":
                assert float(target.max()) == 1
                assert (target[mask] > 0).all()
    assert present <= set(range(40))
    assert len(present) > 20


def test_depth_in_metres_is_that_of_rooms() -> None:
    dataset = build_dataset(config(depth_target="metric", task_list=["depth_euclidean"]), "test")
    depths = [dataset[index]["targets"]["depth_euclidean"] for index in range(0, len(dataset), len(dataset) // FRAMES)]
    assert all(0.3 < float(depth[depth > 0].min()) < float(depth.max()) <= 10.01 for depth in depths)
    assert 1.5 < float(torch.stack(depths).median()) < 4


def test_loaders_give_whole_batches_in_training_and_every_frame_in_test() -> None:
    settings = config(train_batch_size=16, test_batch_size=8)
    splits = nyu_splits(settings)
    assert len(train_loader(settings, seed=0)) == len(splits["train"]) // 16
    assert len(eval_loader(settings, "test")) == -(-len(splits["test"]) // 8)
    batch = next(iter(train_loader(settings, seed=0)))
    assert batch["image"].shape == (16, 3, SIZE, SIZE)
    assert len(set(batch["name"])) == 16


def test_cached_frames_are_the_frames_of_the_files(tmp_path: Path) -> None:
    read, cached = (
        next(iter(eval_loader(config(cache=where, val_batch_size=FRAMES), "val"))) for where in (False, str(tmp_path))
    )
    assert read["name"] == cached["name"]
    assert torch.equal(read["image"], cached["image"])
    for task, target in read["targets"].items():
        assert torch.equal(read["masks"][task], cached["masks"][task])
        torch.testing.assert_close(
            cached["targets"][task], target, rtol=0, atol=2e-5
        )  # edges, normals: datasets/cache/codec.py
