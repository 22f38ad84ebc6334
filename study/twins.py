"""Partners of a setting in comparisons: its dense twin, and the dense models of its tasks alone.

The study's plan decides, whatever is finished: so an unfinished study compares nothing with what the finished one will not.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.result_table import differing_keys
from study.plan import Setting


def twin_of(setting: Setting, settings: Iterable[Setting]) -> Setting | None:
    """Find the dense setting of the same tasks that a sparse one is compared with.

    It is the one of the same variant; where none is planned, one that is trained alike but for the penalty; else there is none.
    """
    dense = [twin for twin in settings if not twin.sparse and twin.config.task_list == setting.config.task_list]
    own = [twin for twin in dense if twin.variant == setting.variant]
    alike = [twin for twin in sorted(dense, key=lambda twin: twin.variant != "") if not other_keys(setting, twin)]
    return next(iter([*own, *alike]), None)


def other_keys(setting: Setting, twin: Setting) -> list[str]:
    """Return the keys apart from the penalty's in which two settings of the same tasks are trained differently."""
    return differing_keys(setting.config, twin.config)


def baseline_of(setting: Setting, settings: Iterable[Setting]) -> dict[str, Setting] | None:
    """Find per task of a setting the dense setting of that task alone.

    They are of the setting's own variant where the study plans all of them, else those without a variant; None where the study
    plans neither.
    """
    alone = [single for single in settings if not single.sparse and len(single.config.task_list) == 1]
    dense = {(single.variant, single.config.task_list[0]): single for single in alone}
    for variant in (setting.variant, ""):
        if all((variant, task) in dense for task in setting.config.task_list):
            return {task: dense[variant, task] for task in setting.config.task_list}
    return None


def seeds_of(setting: Setting) -> list[int]:
    """Return the seeds of the trials that the study plans."""
    return [setting.config.seed + trial for trial in range(setting.trials)]
