"""Configurations as users break them: keys removed, misspelled, of a wrong type, out of range, contradicting each other."""

from __future__ import annotations

import copy
import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.utils.test_config import PUBLISHED_GRID, PUBLISHED_NYU
from utils.config import ExperimentConfig
from utils.study.config import is_study

ROOT = Path(__file__).parents[2]
BASES: dict[str, dict[str, Any]] = {
    **{
        path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "config").glob("*.yaml"))
        if not is_study(path)
    },
    "published.yaml": yaml.safe_load(PUBLISHED_NYU),
    "published_grid.yaml": yaml.safe_load(PUBLISHED_GRID),
}
"""The project's own files, and files as other people publish them; all of them load."""

SECTIONS = ("optimizer_params", "bb_optimizer_params", "augmentation", "splits", "lr_schedule", "loss_weights")
Keys = tuple[str, ...]


def schema_keys() -> list[Keys]:
    """Every key that there is, nested ones as a path."""
    keys: list[Keys] = [("num_input_ch",)]
    for name, info in ExperimentConfig.model_fields.items():
        keys.append((name,))
        if hasattr(info.annotation, "model_fields"):
            keys += [(name, inner.alias or inner_name) for inner_name, inner in info.annotation.model_fields.items()]
    return [*keys, *(("loss_weights", task) for task in ("segmentsemantic", "depth_euclidean"))]


KEYS = schema_keys()

JUNK: list[Any] = [
    *(None, "None", "", " ", "text", "a text of several words", "~/somewhere", "1e-4", "1e-", "0.5", "70%", "1,5", "nan"),
    *(True, False, "true", 0, 1, 2, 3, -1, 7, 70, 255, 10**9, 10**30, 0.0, 0.5, 1.0, 1.5, -0.5, 1e-300, 1e300),
    *(float("nan"), float("inf"), -float("inf"), datetime.date(2024, 5, 17), datetime.datetime(2024, 5, 17, 12, 0)),
    *([], [0], [1, 2], [1, 2, 3], ["text"], [None], [[]], [[0, 1e-4]], [[0, 1e-4], [1, 1e-3]], [0.9, 0.999], [1, "two", None]),
    *({}, {"value": 1e-4}, {"value": 1e-4, "warmup": 10}, {"value": 1e-4, "warm_up": 10}, {"a": {"b": {"c": 1}}}, {1: 2}),
    *({None: 1}, {"name": "cosine"}, "x" * 5000, list(range(3000)), "Ünïcode", "two\nlines", "!!", "{}", "*"),
]

CONTRADICTIONS: list[dict[Keys, Any]] = [
    {("setup",): "singletask", ("task_list",): ["segmentsemantic", "depth_euclidean"]},
    {("num_input_ch",): 1, ("input_img_channels",): 3},
    {("target_sparsity",): 0.7, ("lambda_list",): [1e-5, 1e-4], ("group_sparsity",): True},
    {("target_sparsity",): 0.7, ("debias_from",): 0.5, ("group_sparsity",): True},
    {("sparsity_threshold",): 50, ("epochs",): 10, ("group_sparsity",): True},
    {("sparsity_until",): 20, ("epochs",): 10, ("target_sparsity",): 0.5, ("group_sparsity",): True},
    {("sparsity_until",): 3, ("sparsity_threshold",): 5, ("target_sparsity",): 0.5, ("group_sparsity",): True},
    {("dataset_name",): "celebA", ("task_list",): ["depth_euclidean"]},
    {("dataset_name",): "NYU", ("task_list",): ["class_male", "segmentsemantic"]},
    {("dataset_name",): "NYU", ("data_dir_NYU",): None},
    {("dataset_name",): "celebA", ("data_dir_celebA",): None},
    {("dataset_name",): "NYU_MTAN", ("data_dir_NYU",): None, ("data_dir_NYU_MTAN",): None},
    {("task_list",): ["depth_euclidean", "depth_euclidean"]},
    {("backbone",): "resnetd50", ("init_weights",): "IMAGENET1K_V2"},
    {("backbone",): "resnet50", ("init_weights",): "IMAGENET1K_V2", ("input_img_channels",): 1},
    {("normalize",): "imagenet", ("input_img_channels",): 1},
    {("comb_loss",): "wt_sum", ("loss_weights",): {"segmentsemantic": 1}, ("task_list",): ["depth_euclidean"]},
    {("comb_loss",): "wt_sum", ("loss_weights",): {"depth_euclidean": 0}, ("task_list",): ["depth_euclidean"]},
    {("sparsify",): "backbone_and_heads", ("group_sparsity",): True, ("optimizer_params", "lambda"): None},
    {("group_sparsity",): True, ("target_sparsity",): None, ("bb_optimizer_params", "lambda"): [[5, 1e-4], [2, 1e-3]]},
    {("group_sparsity",): True, ("lambda_list",): [1e-4], ("bb_optimizer_params", "lambda"): [[0, 0], [2, 1e-3]]},
    {("group_sparsity",): True, ("epochs",): 3, ("bb_optimizer_params", "lambda"): {"value": 1e-4, "warmup": 10}},
    {("debias_from",): 0.5, ("group_sparsity",): True, ("epochs",): 1},
    {("lambda_list",): [1e-4, 1e-4], ("group_sparsity",): True},
    {("lambda_list",): [1e-4], ("group_sparsity",): False},
    {("num_trials",): 0},
]

HARMLESS: dict[Keys, list[Any]] = {
    ("seed",): [1, 2**31 - 1],
    ("backbone",): ["resnetd18", "resnetd50", "resnetd101", "resnet18", "resnet50", "resnet101"],
    ("output_stride",): [8, 16],
    ("input_shape",): [32, 64, [32, 48], [96, 64]],
    ("input_img_channels",): [1, 3],
    ("normalize",): ["none", "imagenet"],
    ("depth_target",): ["relative", "metric"],
    ("head_width",): [1, 8, 64],
    ("aspp_rates",): [[], [1], [12, 24, 36], [1, 2, 3, 4]],
    ("seg_loss_fn",): ["softCEloss", "dice", "Tversky", "Focal"],
    ("comb_loss",): ["sum", "wt_sum", "uncertainity", "uncertainty"],
    ("loss_weight_lr",): [1e-5, "1e-2"],
    ("optimizer",): ["adam", "adamw"],
    ("bb_optimizer",): ["adam", "adamw"],
    ("bb_optimizer_params", "penalty"): ["l1_l2", "group_mcp", "sparse_group_lasso", "None"],
    ("bb_optimizer_params", "lambda"): [0, 1e-3, "1e-6", None, {"value": "1e-4", "warmup": 2}, [[0, 0], [1, "1e-3"]]],
    ("bb_optimizer_params", "gamma"): [1.5, 30],
    ("bb_optimizer_params", "l1_ratio"): [0, 0.5, 1],
    ("bb_optimizer_params", "betas"): [[0, 0], [0.5, 0.9]],
    ("bb_optimizer_params", "eps"): [1e-4, "1e-12"],
    ("optimizer_params", "lambda"): [1e-3, {"value": 1e-4, "warmup": 1}],
    ("optimizer_params", "penalty"): ["group_mcp", "None"],
    ("optimizer_params", "weight_decay"): [0, 0.5],
    ("optimizer_params", "learning_rate"): [1e-8, 1],
    ("group_sparsity",): [True, False],
    ("sparsify",): ["backbone", "backbone_and_heads"],
    ("target_sparsity",): [0.01, 0.7, 0.99, "0.5", None],
    ("sparsity_until",): [0.5, 0.9],
    ("debias_from",): [0.5, None],
    ("sparsity_threshold",): [0, 1],
    ("lr_schedule", "name"): ["plateau", "cosine", "constant"],
    ("lr_schedule", "patience"): [0, 3],
    ("epochs",): [12, 40, 1000],
    ("setup",): ["multitask"],
    ("task_list",): [
        ["depth_euclidean"],
        ["edge_texture", "surface_normal"],
        ["segmentsemantic"],
        ["class_Bald", "class_male"],
    ],
    ("dataset_name",): ["NYU", "celebA", "NYU_MTAN"],
    ("celebA_classes",): [3, 19],
    ("precision",): ["fp32", "bf16", "auto"],
    ("channels_last",): [True, False],
    ("lambda_list",): [[1e-4], [1e-6, "1e-5"], None],
    ("augmentation", "scale_crop"): [[1, 1.5], []],
}
"""Values that are right by themselves; together they may not be."""


@dataclass
class Mutant:
    """A broken configuration."""

    base: str
    raw: dict[Any, Any]
    overrides: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """Names of whatever was changed: last names of nested keys, and the sections where there are such."""
    done: list[str] = field(default_factory=list)
    """What was done, for a person."""

    def text(self) -> str:
        """The file."""
        return yaml.safe_dump(self.raw, allow_unicode=True, sort_keys=False)


def misspelled(draw: st.DrawFn, word: str) -> str:
    """A word with one slip of the finger or of the mind."""
    at = draw(st.integers(0, len(word) - 1))
    slips = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] * 2 + word[at + 1 :],
        word[: at + 1] + word[at + 1 : at + 2] * 0 + "x" + word[at + 1 :],
        word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
        *(word.upper(), word.lower(), word.title(), word.replace("_", "-"), word.replace("_", ""), word.replace("_", " ")),
        *(f" {word}", f"{word} ", f"{word}s", f"my_{word}", f"{word}:", f"'{word}'"),
    ]
    return draw(st.sampled_from(slips))


def _parent(raw: dict[Any, Any], keys: Keys) -> dict[Any, Any] | None:
    """The section that holds a nested key, made if it is not there; None if something else is in its place."""
    if len(keys) == 1:
        return raw
    if raw.get(keys[0]) is None:
        raw[keys[0]] = {}
    return raw[keys[0]] if isinstance(raw[keys[0]], dict) else None


def _set(draw: st.DrawFn, mutant: Mutant, keys: Keys, value: Any) -> None:
    """Give a key another value, in the file or by an override."""
    mutant.keys |= set(keys)
    if keys == ("num_input_ch",) or keys == ("input_img_channels",):
        mutant.keys |= {"num_input_ch", "input_img_channels"}
    written = (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6).strip().removesuffix("...").strip()
    )
    if draw(st.booleans()):
        mutant.overrides.append(f"{'.'.join(keys)}={written}")
    else:
        parent = _parent(mutant.raw, keys)
        if parent is None:
            return
        parent[keys[-1]] = copy.deepcopy(value)
    mutant.done.append(f"{'.'.join(keys)}={written:.60}")


def _remove(draw: st.DrawFn, mutant: Mutant) -> None:
    there = [*((key,) for key in mutant.raw if isinstance(key, str)), *_inner_keys(mutant.raw)]
    if not there:
        return
    keys = draw(st.sampled_from(there))
    parent = _parent(mutant.raw, keys)
    assert parent is not None
    parent.pop(keys[-1])
    mutant.keys |= set(keys)
    mutant.done.append(f"without {'.'.join(keys)}")


def _inner_keys(raw: dict[Any, Any]) -> list[Keys]:
    return [(section, key) for section in SECTIONS if isinstance(raw.get(section), dict) for key in raw[section]]


def _misspell(draw: st.DrawFn, mutant: Mutant) -> None:
    there = [*((key,) for key in mutant.raw), *_inner_keys(mutant.raw)]
    keys = draw(st.sampled_from([path for path in there if isinstance(path[-1], str) and path[-1]] or [("Experiment_name",)]))
    parent = _parent(mutant.raw, keys)
    if parent is None or keys[-1] not in parent:
        return
    other = misspelled(draw, keys[-1])
    parent[other] = parent.pop(keys[-1])
    mutant.keys |= {*keys, other, other.strip(" :'")} - {""}
    mutant.done.append(f"{'.'.join(keys)} -> {other!r}")


def _tweak(draw: st.DrawFn, mutant: Mutant) -> None:
    """Another number, or a misspelled choice, in place of what is there."""
    there = [*((key,) for key in mutant.raw if isinstance(key, str)), *_inner_keys(mutant.raw)]
    if not there:
        return
    keys = draw(st.sampled_from(there))
    parent = _parent(mutant.raw, keys)
    assert parent is not None
    value = parent[keys[-1]]
    if isinstance(value, bool):
        value = draw(st.sampled_from([not value, str(value), int(value), "on"]))
    elif isinstance(value, int | float):
        value = draw(st.sampled_from([-value, value * 100, value / 1000, value + 0.5, str(value), [value], 0]))
    elif isinstance(value, str) and value:
        value = draw(st.sampled_from([misspelled(draw, value), [value], None, value * 3]))
    elif isinstance(value, list) and value:
        slips = [value[:-1], value[::-1], [*value, *value], [*value, None], value[0], ", ".join(map(str, value)), [value]]
        value = draw(st.sampled_from(slips))
    elif isinstance(value, dict) and value:
        value = draw(st.sampled_from([next(iter(value.values())), list(value), [value], {**value, "extra": 1}]))
    _set(draw, mutant, keys, value)


@st.composite
def mutants(draw: st.DrawFn, harmless: bool = False) -> Mutant:
    """A base with one to four changes; with ``harmless``, most of them are right by themselves."""
    base = draw(st.sampled_from(sorted(BASES)))
    mutant = Mutant(base, copy.deepcopy(BASES[base]))
    breaking = ["junk", "junk", "tweak", "tweak", "remove", "misspell", "contradict", "unknown", "harmless", "harmless"]
    for _ in range(draw(st.integers(2 if harmless else 1, 4))):
        what = draw(st.sampled_from(["harmless"] * 5 + ["tweak", "remove"] if harmless else breaking))
        if what == "junk":
            _set(draw, mutant, draw(st.sampled_from(KEYS)), draw(st.sampled_from(JUNK)))
        elif what == "tweak":
            _tweak(draw, mutant)
        elif what == "remove":
            _remove(draw, mutant)
        elif what == "misspell":
            _misspell(draw, mutant)
        elif what == "contradict":
            for keys, value in draw(st.sampled_from(CONTRADICTIONS)).items():
                _set(draw, mutant, keys, value)
        elif what == "unknown":
            word = draw(st.sampled_from(["momentum", "gpu", "dropout", "lambda", "learning_rate", "x.y", "_", "a-b"]))
            section = draw(st.sampled_from([(), ("bb_optimizer_params",), ("splits",), ("epochs",)]))
            _set(draw, mutant, (*section, *word.split(".")), draw(st.sampled_from([1, "text", None, [1], {"a": 1}])))
        else:
            keys = draw(st.sampled_from(sorted(HARMLESS)))
            _set(draw, mutant, keys, draw(st.sampled_from(HARMLESS[keys])))
    return mutant
