"""Backbones, heads, the multi-task model, and its compaction."""

from models.compaction.carry import carry_optimizer_state, mask_dense, narrowed_optimizer, put_back, return_optimizer_state
from models.compaction.compact import CompactModel, build_compact, compact
from models.compaction.dense import fold_batch_norm
from models.compaction.files import load_compact, save_compact
from models.compaction.removal import plan_removal
from models.compaction.report import CompactReport
from models.multi_task import MultiTaskModel, build_model
from models.normalised import normalised_convolutions

__all__ = [
    "CompactModel",
    "CompactReport",
    "MultiTaskModel",
    "build_compact",
    "build_model",
    "carry_optimizer_state",
    "compact",
    "fold_batch_norm",
    "load_compact",
    "mask_dense",
    "narrowed_optimizer",
    "normalised_convolutions",
    "plan_removal",
    "put_back",
    "return_optimizer_state",
    "save_compact",
]
