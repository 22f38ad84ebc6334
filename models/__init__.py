"""Backbones, heads, the multi-task model, and its compaction."""

from models.compaction.compact import CompactModel, compact
from models.compaction.files import load_compact, save_compact
from models.compaction.report import CompactReport
from models.multi_task import MultiTaskModel, build_model

__all__ = ["CompactModel", "CompactReport", "MultiTaskModel", "build_model", "compact", "load_compact", "save_compact"]
