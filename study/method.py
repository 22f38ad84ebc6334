"""The method of a setting in a few sentences, made of its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine import checkpoint as files
from settings.config import ExperimentConfig
from settings.sections import TRIAL
from settings.targets import Target
from study.labels import kind_label
from study.plan import Setting
from utils.numbers import counted, percent

_SCORES = {
    "adam": "Groups go in the order of their squared norm in Adam’s metric",
    "fisher": "Groups go in the order of their squared norm in the diagonal of the Fisher information",
    "taylor": "Groups go in the order of a running mean of (gradient · weight)², the square of what their removal changes in "
    "the loss to first order",
}
"""By the value of ``saliency``."""

OWN = f"_trial_{TRIAL}"
"""End of the name of a network of which each trial has its own."""

_COSTS = {"macs": "multiply-adds", "parameters": "parameters"}


def described_methods(settings: Iterable[Setting]) -> list[tuple[str, str]]:
    """Describe the methods of a study: per kind of settings its name and its text; settings that differ in tasks and strength
    only are of one kind where their texts are equal."""
    names: dict[str, list[str]] = {}
    for setting in settings:
        penalty = setting.config.penalty.name if setting.sparse else ""
        kind = kind_label({"sparse": setting.sparse, "penalty": penalty, "variant": setting.variant, "lambda": None})
        names.setdefault(describe(setting.config), []).append(kind)
    return [("; ".join(dict.fromkeys(kinds)), text) for text, kinds in names.items()]


def describe(config: ExperimentConfig) -> str:
    """Describe how a network is trained: penalty, score, ramp, freeze, and what shrinks; two to seven sentences."""
    if config.group_sparsity:
        sentences = [_penalty(config), _score(config), _ramp(config), _freeze(config), _shrink(config)]
    else:
        sentences = [f"AdamW for up to {counted(config.epochs, 'epoch')}, without a penalty. No group becomes zero."]
    return " ".join(filter(None, [*sentences, _networks(config)]))


def _networks(config: ExperimentConfig) -> str:
    """Say which trained networks it starts from, and learns from."""
    texts = {
        "start_from": "It starts from the network {}.",
        "distill.from": f"Beside the data, it learns from the predictions of {{}} (weight {config.distill.weight:g}).",
    }
    return " ".join(texts[key].format(_network(Path(text))) for key, text in config.networks.items())


def _network(path: Path) -> str:
    """Return the name of a trial, or of a checkpoint, that is named for all trials."""
    name = path.parent.name if path.name == files.BEST else path.name
    return f"{name.removesuffix(OWN)} (trial of the same number)" if name.endswith(OWN) else name


def _penalty(config: ExperimentConfig) -> str:
    """Say what is penalised, and how it acts."""
    groups = "input channels of shared convolutions"
    if config.joins_heads:
        groups += ", or a shared feature in all heads together"
    elif config.sparsifies_heads:
        groups += f", and with the {config.head_penalty.title} those of the heads’ convolutions that read the shared features"
    start = f" from epoch {config.sparsity_epoch + 1} on" if config.sparsity_epoch else ""
    return (
        f"After each step of AdamW{start}, a proximal step of the {config.penalty.title} sets whole groups of weights to zero "
        f"({groups})."
    )


def _score(config: ExperimentConfig) -> str:
    """Say which groups go, and what becomes of the others."""
    if config.penalty.selects:
        return f"{_SCORES[dict(config.bb_optimizer_params)['saliency']]}; the others are left as they are."
    if config.preserves_norm:
        return "Groups with a small norm become zero, and what lives of a layer before batch norm keeps its norm."
    return "Groups with a small norm become zero, and the norm of the others shrinks as well."


def _ramp(config: ExperimentConfig) -> str:
    """Say what λ follows."""
    target = config.target
    if target is None:
        strength = config.bb_optimizer_params.lambda_
        return "λ is the same in all epochs." if strength is None or strength.is_constant else "λ changes over the epochs."
    least = percent(100 * config.keep_layers, decimals=0)
    kept = f"; each layer keeps {least} of its groups or more" if config.keep_layers else ""
    return f"λ is found while training: {_goal(target)} on a {config.sparsity_ramp} ramp{kept}."


def _goal(target: Target) -> str:
    if target.is_budget:
        return f"the {_COSTS[target.kind.cost]} of the compact network fall to the budget"
    return "the share of zero groups rises to the target"


def _freeze(config: ExperimentConfig) -> str:
    """Say when zero groups are final."""
    if config.debias_epoch is None:
        return "The penalty acts to the end."
    start = f"From epoch {config.debias_epoch + 1} of {config.epochs} on"
    return f"{start}, zero groups stay zero and the rest trains on without the penalty."


def _shrink(config: ExperimentConfig) -> str:
    """Say that the network that trains becomes smaller."""
    text = "As groups become zero, the training goes on with what is left of the network, where its backbone can be cut."
    return text if config.shrinks else ""
