"""Pictures of predictions: input, target and prediction side by side."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch.utils.data import default_collate

from datasets.base import MultiTaskDataset
from datasets.sample import Sample
from engine.evaluation import autocast, to_device
from figures.predictions import PredictedFrames, prediction_figure
from models import MultiTaskModel
from settings.config import ExperimentConfig
from tasks.objectives import predict

FRAMES = 4


def units(config: ExperimentConfig) -> dict[str, str]:
    """Return what a figure says about the numbers of each dense task, where they have a unit."""
    depth = "m" if config.depth_target == "metric" else "of the frame's largest"
    known = {task.name: depth if task.kind == "depth" else task.unit for task in config.tasks.values() if task.is_dense}
    return {name: unit for name, unit in known.items() if unit}


def evenly_spaced(dataset: MultiTaskDataset, count: int) -> Sample:
    """Return a batch of ``count`` frames, evenly spread over a data set."""
    count = min(count, len(dataset))
    return default_collate([dataset[index * len(dataset) // count] for index in range(count)])


@torch.inference_mode()
def draw_predictions(
    model: MultiTaskModel, dataset: MultiTaskDataset, config: ExperimentConfig, device: torch.device, title: str
) -> Figure:
    """Draw the predictions of four frames of a data set. Leaves the model in eval mode."""
    model.eval()
    batch = evenly_spaced(dataset, FRAMES)
    moved = to_device(batch, device, config)
    with autocast(device, config):
        logits = model(moved["image"])
    frames = PredictedFrames(
        batch["image"].numpy(),
        {task: predict(config.tasks[task], out.float(), config.depth_target).cpu().numpy() for task, out in logits.items()},
        {task: target.numpy() for task, target in batch["targets"].items()},
        {task: mask.numpy() for task, mask in batch["masks"].items()},
        list(batch["name"]),
    )
    return prediction_figure(frames, config.tasks, f"{config.Experiment_name}: {title}", units(config))
