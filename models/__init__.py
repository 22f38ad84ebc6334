"""Backbones, heads and the multi-task model."""

from models.multi_task import MultiTaskModel, build_model

__all__ = ["MultiTaskModel", "build_model"]
