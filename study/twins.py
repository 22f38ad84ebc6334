"""With what a setting is compared: its dense twin, and the dense models of its tasks alone.

The study's plan decides, whatever is finished: so an unfinished study compares nothing with what the finished one will not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from settings.sections import PENALTY_PARAMETERS
from study.plan import Setting

_RUN = ("Experiment_name", "num_trials")
"""Keys that no training depends on."""
_PENALTY = (
    "group_sparsity",
    "sparsify",
    "sparsity_threshold",
    "target_sparsity",
    "sparsity_until",
    "sparsity_ramp",
    "keep_layers",
    "preserve_norm",
    "debias_from",
    "lambda_list",
)
_OF_AN_OPTIMIZER = ("penalty", "lambda", *PENALTY_PARAMETERS)
"""Keys of the configuration, and of an optimizer's section, that are about the penalty alone."""


def twin_of(setting: Setting, settings: Iterable[Setting]) -> Setting | None:
    """The dense setting that a sparse one is compared with, of the same tasks.

    It is the one of the same variant; where none is planned, one that is trained alike but for the penalty; else there is none.
    """
    dense = [one for one in settings if not one.sparse and one.config.task_list == setting.config.task_list]
    own = [one for one in dense if one.variant == setting.variant]
    alike = [one for one in sorted(dense, key=lambda one: one.variant != "") if not other_keys(setting, one)]
    return next(iter([*own, *alike]), None)


def other_keys(setting: Setting, twin: Setting) -> list[str]:
    """Keys apart from the penalty's in which two settings of the same tasks are trained differently."""
    one, other = _without_penalty(setting), _without_penalty(twin)
    return [key for key in one if one[key] != other[key]]


def _without_penalty(setting: Setting) -> dict[str, Any]:
    values = setting.config.as_dict()
    flat = {key: value for key, value in values.items() if key not in (*_RUN, *_PENALTY)}
    for section in ("optimizer_params", "bb_optimizer_params"):
        params = flat.pop(section)
        flat |= {f"{section}.{key}": value for key, value in params.items() if key not in _OF_AN_OPTIMIZER}
    return flat


def baseline_of(setting: Setting, settings: Iterable[Setting]) -> dict[str, Setting] | None:
    """Per task of a setting the dense setting of that task alone.

    They are of the setting's own variant where the study plans all of them, else those without a variant; None where the study
    plans neither.
    """
    dense = {
        (one.variant, one.config.task_list[0]): one for one in settings if not one.sparse and len(one.config.task_list) == 1
    }
    for variant in (setting.variant, ""):
        if all((variant, task) in dense for task in setting.config.task_list):
            return {task: dense[variant, task] for task in setting.config.task_list}
    return None


def seeds_of(setting: Setting) -> list[int]:
    """Seeds of the trials that the study plans."""
    return [setting.config.seed + trial for trial in range(setting.trials)]
