"""Types of the configuration's fields, and its nested sections."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from optim.penalties import PENALTIES, GroupL0, GroupLasso
from settings.nature import NUMBERS, PENALTY, WORK, about
from tasks.data_sets import DATA_SETS


def _plain_number(value: Any) -> Any:
    """Refuse truth values, 1_0e-3 and digits of other scripts, which pydantic takes for numbers. Text may be a number, as
    PyYAML reads 1e-6, which has no point, as text."""
    if isinstance(value, bool) or (isinstance(value, str) and ("_" in value or not value.isascii())):
        raise ValueError("expected a number")
    return value


def _validate_forms(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Validate a key that has several forms, with one error about the key and not one per form."""
    try:
        return validate(value)
    except ValidationError:
        raise PydanticCustomError("form", "none of its forms") from None


@dataclasses.dataclass(frozen=True, eq=False)
class OneOf:
    """Mark of a text that must be a name in a registry, as it is when the text is checked."""

    registry: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def _check(self, value: Any) -> str:
        if isinstance(value, str) and value in self.registry:
            return value
        *names, last = map(repr, self.registry)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(names)} or {last}" if names else last})


SeveralForms = WrapValidator(_validate_forms)
Number = Annotated[float, BeforeValidator(_plain_number)]
Int = Annotated[int, Field(strict=True)]
Bool = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, min_length=1)]
FileName = Annotated[str, Field(strict=True, min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+=,@ -]*$")]
Beta = Annotated[Number, Field(ge=0, lt=1)]
Share = Annotated[Number, Field(gt=0, lt=1)]
Side = Annotated[Int, Field(ge=16)]


def _no_sgd(value: Any) -> Any:
    if value == "sgd":
        raise ValueError("'sgd' is not supported, as the proximal step is taken in Adam's metric: use 'adamw'")
    return value


def _off(value: Any) -> Any:
    """Return ``disabled`` for a bare ``off``, which YAML 1.1 reads as False."""
    return "disabled" if value is False or value == "off" else value


def _on_or_off(value: Any) -> Any:
    """Return a truth value for ``on`` and ``off``, bare or in quotes, and the path of a folder as it is."""
    if isinstance(value, str) and value.lower() in ("on", "off", "yes", "no", "true", "false"):
        return value.lower() in ("on", "yes", "true")
    if not isinstance(value, bool | str) or value == "":
        raise ValueError("expected on, off, or the path of a folder")
    return value


def _either(names: Iterable[str]) -> str:
    """Return names as a choice: ``a, b or c``."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


def _known_data_set(value: Any) -> Any:
    """Refuse a name that is no data set's, as a value of a ``Literal`` is refused."""
    if not isinstance(value, str) or value not in DATA_SETS:
        raise PydanticKnownError("literal_error", {"expected": _either(map(repr, DATA_SETS))})
    return value


DataSetName = Annotated[
    str,
    BeforeValidator(_known_data_set),
    Field(description=f"Data set: {_either(f'`{name}` ({data_set.about})' for name, data_set in DATA_SETS.items())}."),
]
Cache = Annotated[bool | str, BeforeValidator(_on_or_off)]
Tracking = Annotated[Literal["online", "offline", "tensorboard", "disabled"], BeforeValidator(_off)]
Adam = Annotated[Literal["adam", "adamw"], BeforeValidator(_no_sgd)]


class Schema(BaseModel):
    """Base of all sections: frozen, without unknown keys, with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Section(Schema):
    """Keys below a key, each with a default of its own."""

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        """Return an empty section for null, which YAML has for a section without keys."""
        return {} if value is None else value


class Warmup(Schema):
    """A strength of the penalty that rises from 0."""

    value: Annotated[Number, Field(ge=0)]
    """Strength at the end."""
    warmup: Annotated[Number, Field(ge=0)]
    """Epochs in which it rises, linearly, from `sparsity_threshold` on."""


def _warmup_or_another_form(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Validate a strength; keys say that a warm-up was meant, so that its errors are about them."""
    return Warmup.model_validate(value) if isinstance(value, Mapping) else _validate_forms(value, validate)


Points = Annotated[tuple[tuple[Annotated[Number, Field(ge=0)], Annotated[Number, Field(ge=0)]], ...], Field(min_length=1)]


class Strength(RootModel[Annotated[Annotated[Number, Field(ge=0)] | Warmup | Points, WrapValidator(_warmup_or_another_form)]]):
    """Strength of a penalty over the epochs: lambda, a warm-up to lambda, or points ``(epoch, lambda)``, as the file has it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @property
    def is_constant(self) -> bool:
        """True for a number."""
        return isinstance(self.root, float)

    @property
    def is_listed(self) -> bool:
        """True for points."""
        return isinstance(self.root, tuple)

    @property
    def final(self) -> float:
        """Lambda at the end of the training."""
        if isinstance(self.root, Warmup):
            return self.root.value
        return self.root[-1][1] if isinstance(self.root, tuple) else self.root

    def points(self, start: float) -> tuple[tuple[float, float], ...]:
        """Return pairs ``(epoch, lambda)`` with straight lines between them, for a penalty that acts from ``start`` on."""
        if isinstance(self.root, tuple):
            return self.root
        rise = self.root.warmup if isinstance(self.root, Warmup) else 0.0
        return (*(((start, 0.0),) if rise else ()), (start + rise, self.final))

    def with_final(self, value: float) -> Strength:
        """Return the strength that ends at ``value``: a warm-up over as many epochs, or a number."""
        assert not isinstance(self.root, tuple), "points contradict a list of strengths, and are refused before"
        return Strength(self.root.model_copy(update={"value": value}) if isinstance(self.root, Warmup) else value)


Time = Annotated[Number, Field(gt=0)]


PenaltyName = Annotated[str, OneOf(PENALTIES)]


def default_penalty(target: object) -> str:
    """Return the penalty of a training that names none: measured best under a target (docs/results.md), else the paper's."""
    return GroupLasso.name if target is None else GroupL0.name


PENALTY_PARAMETERS = {name: parameter for penalty in PENALTIES.values() for name, parameter in penalty.parameters().items()}
"""Keys of an optimizer's section that are parameters of penalties, as the penalties declare them."""


def _key(parameter: dataclasses.Field[Any]) -> Any:
    """Return the type of the key for a penalty's parameter."""
    limits = dict(parameter.metadata)
    meaning, choices, alters_speed = (limits.pop(key, None) for key in ("meaning", "choices", "alters_speed"))
    return Annotated[
        Literal[tuple(choices)] if choices else Number,
        Field(default=parameter.default, description=meaning, **limits),
        about("numbers", "speed", penalty=True) if alters_speed else PENALTY,
    ]


class OptimizerParams(Section):
    """Settings of AdamW, and of the penalty where it applies (the backbone, and the heads if `sparsify` says so)."""

    learning_rate: Annotated[Number, Field(gt=0), NUMBERS] = 1e-4
    """Step size."""
    betas: Annotated[tuple[Beta, Beta], NUMBERS] = (0.9, 0.999)
    """Decay rates of the running means of the gradient and of its square: two numbers below 1."""
    eps: Annotated[Number, Field(gt=0), NUMBERS] = 1e-8
    """Added to the root of the second moment."""
    weight_decay: Annotated[Number, Field(ge=0), NUMBERS] = 0.01
    """Decoupled weight decay."""
    penalty: Annotated[
        PenaltyName | None, about("numbers", "speed", penalty=True, in_a_study="the study has the axis penalty")
    ] = Field(
        default=None,
        description="Penalty on the groups: "
        + ", ".join(f"`{name}` ({penalty.title})" for name, penalty in PENALTIES.items())
        + f"; none: with `target_sparsity`, the backbone's is `{GroupL0.name}`, which selects groups and leaves the others as "
        f"they are; else `{GroupLasso.name}`. The heads' is unused unless `sparsify` is `backbone_and_heads`.",
    )
    lambda_: Annotated[Strength | None, PENALTY] = Field(default=None, alias="lambda")
    """Strength of the penalty (a group's weight is `lambda * sqrt(group size)`): a number; or `{value: 1e-4, warmup: 10}`,
    which rises from 0 over 10 epochs; or points `[[epoch, lambda], ...]` with straight lines between them. The heads' as
    `penalty`."""
    # The parameters of all penalties are keys as well: the schema reads a class's fields from its annotations.
    __annotations__.update({name: _key(parameter) for name, parameter in PENALTY_PARAMETERS.items()})


class BackboneOptimizerParams(OptimizerParams):
    """The backbone's, as the paper has them."""

    weight_decay: Annotated[Number, Field(ge=0), NUMBERS] = 0.1
    """Decoupled weight decay."""


class Augmentation(Section):
    """Random changes of the training frames. All off in the paper."""

    hflip: Annotated[Bool, WORK] = False
    """Mirror a frame with probability 1/2 (the normals' x changes sign)."""
    scale_crop: Annotated[tuple[Annotated[Number, Field(ge=1)], ...], WORK] = ()
    """Enlarge by one of these factors, drawn at random, and crop back (depth in metres is divided by the factor)."""


SPLIT_FILE = about("numbers", "speed", needs="data")


class Splits(Section):
    """Files of `gt_sets` by their role (NYU)."""

    train: Annotated[Text, SPLIT_FILE] = "train"
    """File of the training frames."""
    val: Annotated[Text | None, SPLIT_FILE] = "val"
    """File of the validation frames; null, or the test file again: validation is cut from the training frames."""
    test: Annotated[Text, SPLIT_FILE] = "test"
    """File of the test frames; where there is no such file, `val` is taken (the published two-file form)."""


class LRSchedule(Section):
    """Change of the learning rates over the epochs."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {
        "plateau": ("factor", "patience", "min_lr"),
        "cosine": ("min_lr",),
        "step": ("factor", "step_size", "min_lr"),
        "constant": (),
    }
    """Keys that each schedule reads."""

    name: Annotated[Literal["plateau", "cosine", "step", "constant"], NUMBERS] = "plateau"
    """`plateau` divides when the monitored loss stalls, `cosine` falls to `min_lr` over `epochs`, `step` divides every
    `step_size` epochs, `constant` does nothing."""
    factor: Annotated[Share, NUMBERS] = 0.1
    """Factor of `plateau` and `step`."""
    step_size: Annotated[Int, Field(ge=1), NUMBERS] = 100
    """Epochs between two steps of `step`."""
    patience: Annotated[Int, Field(ge=0), NUMBERS] = 5
    """Epochs in a row without improvement that `plateau` lets pass: it acts at the end of the next one, the `patience` + 1st
    (torch's rule)."""
    min_lr: Annotated[Number, Field(ge=0), NUMBERS] = 1e-7
    """Lower end of every learning rate."""


TRIAL, RUNS = "{trial}", "{checkpoint_folder}"
"""In ``start_from`` and ``distill.from``, stand for the number of the trial that starts, and for the folder of the trials."""


class Distill(Section):
    """A trained network whose predictions are targets beside the data's (Hinton, Vinyals and Dean 2015, temperature 1)."""

    from_: Annotated[Text | None, about("numbers", "speed", "place", needs="weights", may_become="another spelling")] = Field(
        default=None, alias="from"
    )
    """Folder of a finished trial of these tasks, such as the dense twin's, or a checkpoint; `{trial}` in it stands for the
    trial's number, and `{checkpoint_folder}` for that of the configuration."""
    weight: Annotated[Number, Field(gt=0), NUMBERS] = 1.0
    """Factor of a task's distance from that network's prediction, which is added to the task's training loss."""
