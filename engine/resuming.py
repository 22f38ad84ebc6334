"""An experiment that is there already: may it be continued, which of its trials are finished, and how one goes on."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import checkpoint as files
from engine.distributed import ranks
from engine.results import result_paths
from engine.trial import OTHER_RNG, Trial
from settings.config import ExperimentConfig, load_config
from settings.messages import nearest
from settings.nature import Nature, natures
from utils.console import listed
from utils.errors import TrialError, UserError
from utils.files import is_unfinished, remove_unfinished
from utils.paths import expanded

log = logging.getLogger(__name__)

_OVERWRITE = ", or use --overwrite"


def existing_trials(config: ExperimentConfig) -> list[Path]:
    """All folders of the experiment's trials, also those beyond ``num_trials``."""
    first = config.trial_folder(0)
    return list(files.numbered(first.parent, first.name.removesuffix("0")).values())


def remove_leftovers(config: ExperimentConfig, out_dir: Path) -> None:
    """Remove what killed runs of the experiment left half written, or half removed, beside its trials and its tables."""
    root, stem = config.trial_folder(0).parent, config.trial_folder(0).name.removesuffix("0")
    remove_unfinished(root, re.escape(stem) + r"\d+")
    for path in result_paths(out_dir, config.Experiment_name):
        remove_unfinished(out_dir, re.escape(path.name))


def check_begun(runs: Sequence[ExperimentConfig]) -> None:
    """Refuse to resume an experiment that was never begun, such as one whose name is mistyped.

    Args:
        runs: what it consists of: one configuration, or one per entry of ``lambda_list``.

    Raises:
        TrialError: there is no folder of a trial.
    """
    if not any(map(existing_trials, runs)):
        root, names = runs[0].trial_folder(0).parent, listed([repr(run.Experiment_name) for run in runs])
        raise nothing_to_resume(f"trial of {names}", root, runs[0].Experiment_name, files.experiments(root))


def nothing_to_resume(what: str, root: Path, name: str, known: Iterable[str]) -> TrialError:
    """The sentence about ``--resume`` where there is no ``what`` in ``root``, with the nearest to ``name`` of the ``known``."""
    return TrialError(
        f"there is nothing to resume: no {what} is in {root} (without --resume it begins anew){nearest(name, known)}"
    )


def check_folders(config: ExperimentConfig, resume: bool, overwrite: bool, out_dir: Path) -> None:
    """Refuse to go on where something could be lost or mixed; changes nothing.

    Raises:
        TrialError: the experiment is there, and neither ``resume`` nor ``overwrite`` is said; or it cannot be continued.
    """
    trials = existing_trials(config)
    tables = [path for path in result_paths(out_dir, config.Experiment_name) if path.exists()]
    if (trials or tables) and not (resume or overwrite):
        go_on = "continue that experiment with --resume, " if trials else ""
        raise TrialError(
            f"{(trials or tables)[0]} is there already: {go_on}replace it with --overwrite, or choose another Experiment_name"
        )
    for folder in trials:
        check_folder(config, folder, resume and not overwrite)


def check_folder(config: ExperimentConfig, folder: Path, resume: bool) -> None:
    """Refuse a folder that is no trial's, or, with ``resume``, one of a trial that cannot be continued.

    Raises:
        TrialError: the sentence says which, and why.
    """
    if (folder / files.CONFIG).is_file():
        if resume:
            _check_same(config, folder)
            _check_whole(config, folder)
    elif not folder.is_dir() or not all(is_unfinished(path) or path.name == files.LAUNCH_LOG for path in folder.iterdir()):
        raise TrialError(f"{folder} holds no {files.CONFIG}, so it is no trial: move it away")


def _check_whole(config: ExperimentConfig, folder: Path) -> None:
    """Refuse to continue a trial that lacks what it had, or needs."""
    if (folder / files.TEST).is_file():
        saved_row(folder)
        is_finished(folder, config)
    elif not (folder / files.LAST).is_file() and any((folder / name).exists() for name in (files.BEST, files.METRICS)):
        raise TrialError(f"{folder} has no {files.LAST}, so it cannot be continued: restore it", _OVERWRITE)


def _check_same(config: ExperimentConfig, folder: Path) -> None:
    """Refuse to continue a trial under another configuration."""
    changes = changed_values(load_config(folder / files.CONFIG), config)
    if changes:
        raise TrialError(
            f"{folder} was trained with another configuration ({told(changes)}): give the same values to continue it",
            f"{_OVERWRITE}, or another Experiment_name",
        )


Changes = Mapping[str, tuple[Any, Any]]
"""Per ``key.path`` its two values: the one that a trial was trained with, and the one that it shall go on with."""


def changed_values(saved: ExperimentConfig, now: ExperimentConfig) -> Changes:
    """Return what makes a difference to a trial and is another value now."""
    before, after = (config.select(lambda nature: True) for config in (saved, now))
    changed = [key for key, nature in natures(type(now)).items() if not _may_become(nature, before[key], after[key])]
    if saved.dataset_name == now.dataset_name and _data_place(saved) == _data_place(now) is not None:
        changed = [key for key in changed if key not in ("data_dir", *now.data_set.folder_keys)]
    return {path: values for key in changed for path, values in _parts(key, before[key], after[key]).items()}


def _parts(path: str, saved: Any, now: Any) -> Changes:
    """The single keys that differ, where both values are sections with the same keys."""
    if not (isinstance(saved, dict) and isinstance(now, dict) and saved.keys() == now.keys()):
        return {path: (saved, now)}
    different = [key for key in now if saved[key] != now[key]]
    return {part: both for key in different for part, both in _parts(f"{path}.{key}", saved[key], now[key]).items()}


def told(changes: Changes) -> str:
    """In words."""
    return "; ".join(f"{path}: {saved!r} there, {now!r} now" for path, (saved, now) in changes.items())


def _may_become(nature: Nature, saved: Any, now: Any) -> bool:
    """Return whether a trial may go on with the value ``now`` of a key, where it was trained with ``saved``."""
    match nature.may_become:
        case "anything":
            return True
        case "larger":
            return bool(now >= saved)
        case "another place":
            return bool(saved) == bool(now)
        case "what it stands for" if now == "balanced" and isinstance(saved, dict):
            return True  # the weights of today's data are compared once they are known
        case "another spelling" if saved and now:
            return _place(saved) == _place(now)
    return bool(saved == now)


def _data_place(config: ExperimentConfig) -> Path | None:
    """Return the data set's folder, whichever key names it; None where that needs a variable that is not set here."""
    try:
        return config.data_dir.resolve()
    except UserError:
        return None


def _place(path: str) -> Path:
    """Return the place that a path leads to; one that leads nowhere here, for want of a variable, stays as it is."""
    try:
        return expanded(path).resolve()
    except UserError:
        return Path(path)


def saved_row(folder: Path) -> dict[str, Any]:
    """The row that a finished trial wrote; a number that was not finite (null in JSON) is NaN again.

    Raises:
        TrialError: there is none, or the network that it is about is gone.
    """
    testable = (folder / files.LAST).is_file()
    again, advice = ("remove the file to test the trial again", "") if testable else ("restore it", _OVERWRITE)
    try:
        row = files.load_json(folder / files.TEST).get("row")
    except TrialError as error:
        raise TrialError(f"{error}; {again}", advice) from None
    if not isinstance(row, dict) or "trial" not in row:
        raise TrialError(f"{folder / files.TEST}: holds no row of results; {again}", advice)
    if not (folder / files.BEST).is_file():
        raise TrialError(f"{folder} has no {files.BEST}, which its {files.TEST} is about: restore it", _OVERWRITE)
    return {name: math.nan if value is None else value for name, value in row.items()}


def is_finished(folder: Path, config: ExperimentConfig) -> bool:
    """True if a trial is trained and tested, and more epochs would change nothing.

    Raises:
        TrialError: more epochs would, but the state from which they would go on was not kept.
    """
    if not (folder / files.TEST).is_file():
        return False
    before = load_config(folder / files.CONFIG).epochs
    if before >= config.epochs or files.load_json(folder / files.TEST).get("early_stopped"):
        return True
    if not (folder / files.LAST).is_file():
        raise TrialError(
            f"{folder} is finished and has no {files.LAST}, so it cannot go on from epochs: {before} to {config.epochs} (that "
            f"takes keep_state: true from the start): give epochs={before} to keep it as it is",
            f"{_OVERWRITE} to train it again",
        )
    return False


def drop_state(folder: Path, config: ExperimentConfig) -> None:
    """Remove the state of a trial that is trained and tested, unless ``keep_state`` keeps it."""
    if not config.keep_state:
        (folder / files.LAST).unlink(missing_ok=True)


def continue_trial(trial: Trial) -> str | None:
    """Bring a trial to where its folder says that it was; the id of its run in the tracker.

    Raises:
        TrialError: what the folder holds is not the state of this training.
    """
    path = trial.folder / files.LAST
    if not path.is_file():
        return None
    state = files.load_tensors(path)
    before = 1 + len(state.get(OTHER_RNG, []))
    if before != ranks().size:
        by = "one process" if before == 1 else f"{before} processes (torchrun --nproc-per-node {before})"
        raise TrialError(f"{path}: was trained by {by}, and now there are {ranks().size}: continue it as it began", _OVERWRITE)
    try:
        trial.load_state_dict(state)
        run_id: str | None = state["wandb_run_id"]
        whose = (state["trial"], state["seed"])
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise TrialError(f"{path}: is not the state of this training ({reason:.200})") from error
    if whose != (trial.number, trial.seed):
        raise TrialError(f"{path}: is the state of trial {whose[0]} with seed {whose[1]}, not of this one")
    if math.isfinite(trial.total_patience.best) and not (trial.folder / files.BEST).is_file():
        raise TrialError(f"{trial.folder} has no {files.BEST}, its best network so far: restore it", _OVERWRITE)
    for record in (trial.folder / files.METRICS, trial.folder / files.STEPS):
        if record.is_file():
            files.keep_lines(record, trial.epoch)
    lines = len(files.read_lines(trial.folder / files.METRICS))
    if lines < trial.epoch:
        log.warning("%s is damaged: it has the lines of %d of %d epochs", trial.folder / files.METRICS, lines, trial.epoch)
    log.info("%s continues after epoch %d", trial.name, trial.epoch)
    before = state["config"]["epochs"]
    if before != trial.config.epochs:
        log.info(
            "epochs: %d there, %d now: from here on the learning rates follow the schedule over %d epochs",
            *(before, trial.config.epochs, trial.config.epochs),
        )
    return run_id
