"""Backbones, heads, the multi-task model, and its compaction."""

from models.compaction.carry import carry_optimizer_state, mask_dense
from models.compaction.compact import CompactModel, compact
from models.compaction.dense import fold_batch_norm
from models.compaction.files import load_compact, save_compact
from models.compaction.report import CompactReport
from models.multi_task import MultiTaskModel, build_model
from models.normalised import normalised_convolutions

__all__ = [
    "CompactModel",
    "CompactReport",
    "MultiTaskModel",
    "build_model",
    "carry_optimizer_state",
    "compact",
    "fold_batch_norm",
    "load_compact",
    "mask_dense",
    "normalised_convolutions",
    "save_compact",
]
