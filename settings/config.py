"""The experiment's configuration: one frozen, typed schema, one docstring per key.

The names of the keys were chosen by the paper's users and stay. ``load_config`` reads a YAML file, applies
``key.path=value`` overrides and either returns an :class:`ExperimentConfig` or raises one :class:`ConfigError` that lists
every problem at once (``settings/messages.py`` words them).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from optim.penalties import PENALTIES, Penalty
from settings.messages import Phases, describe_problems, epoch_at, rule_problems, shown
from settings.nature import NUMBERS, PENALTY, RECORD, TARGETED, WORK, Nature, about, natures
from settings.own_tasks import Images, OwnTask, SplitFiles, SplitFolders, SplitFractions
from settings.registries import BACKBONES, WEIGHTINGS
from settings.sections import (
    RUNS,
    TRIAL,
    Adam,
    Augmentation,
    BackboneOptimizerParams,
    Bool,
    Cache,
    DataSetName,
    Distill,
    FileName,
    Int,
    LRSchedule,
    Number,
    OneOf,
    OptimizerParams,
    Schema,
    SeveralForms,
    Share,
    Side,
    Splits,
    Text,
    Time,
    Tracking,
    default_penalty,
)
from settings.targets import TARGETS, Target, given_targets
from settings.yaml_file import apply_override, read_yaml
from tasks.data_sets import DATA_SETS, DataSet
from tasks.table import OVERLAP_LOSSES, SEGMENTATION_LOSSES, Task, get_task
from utils.errors import ConfigError
from utils.files import write_text
from utils.paths import expanded

log = logging.getLogger(__name__)

DATA = about("numbers", "speed", needs="data")
FOLDER = about("numbers", "speed", "place", needs="data", may_become="another spelling", machine=True)
AXIS = "it is an axis of the study"
BUDGET = about(
    "numbers",
    "speed",
    penalty=True,
    used_with=("group_sparsity", True),
    replaces="bb_optimizer_params.lambda",
    in_a_study=AXIS,
)
WEIGHTS = about("numbers", "place", needs="weights", may_become="another spelling")


class ExperimentConfig(Schema):
    """One experiment: `num_trials` trainings that differ in their seed only."""

    Experiment_name: Annotated[
        FileName, about("record", "place", in_a_study="the runs' names follow from the axes; study=<name> renames the study")
    ]
    """Name of the experiment: of its folders, its CSV files and its group in wandb; at most 200 characters."""
    dataset_name: Annotated[DataSetName, DATA]
    task_list: Annotated[tuple[Text, ...], Field(min_length=1), DATA]
    """Tasks that share the backbone, one head each."""
    tasks_: Annotated[dict[Text, OwnTask] | None, Field(min_length=1), DATA] = Field(default=None, alias="tasks")
    """Tasks of your own data (`dataset_name: folders`), by name; without `task_list`, all of them are trained
    (docs/your_data.md)."""
    main_metrics: Annotated[dict[Text, Text], about("record", may_become="anything")] = {}
    """Per task the metric that tables, figures and a study go by, in place of the usual one: such as `auroc` for an attribute
    that few images have, whose accuracy says nothing."""
    setup: Annotated[Literal["singletask", "multitask"], about("record", in_a_study=AXIS)] = "multitask"
    """`singletask` takes exactly one task."""
    num_trials: Annotated[
        Int, Field(ge=0), about("record", may_become="anything", in_a_study="a study has trials=<number>")
    ] = 1
    """Number of trials; trial i is seeded with `seed + i`."""
    seed: Annotated[Int, Field(ge=0, lt=2**31), NUMBERS] = 0
    """Seed of trial 0: initial weights, order of the frames, augmentation and dropout follow from it."""

    data_dir_: Annotated[Text | None, FOLDER] = Field(default=None, alias="data_dir")
    """Folder of the data set, whichever it is; the keys of the paper's files, below, are other names of it."""
    data_dir_NYU: Annotated[Text | None, FOLDER] = None
    """Folder of NYU-v2 in NYUD_MT layout."""
    data_dir_NYU_MTAN: Annotated[Text | None, FOLDER] = None
    """Folder of NYU-v2 in MTAN's layout; where it is not given, `data_dir_NYU`."""
    data_dir_celebA: Annotated[Text | None, FOLDER] = None
    """Folder of CelebAMask-HQ."""
    celebA_classes: Annotated[Literal[3, 19], about("numbers", "speed", needs="data")] = 3
    """Classes of CelebA's masks: 3 (background, hair, skin), or 19 (background and the 18 parts of the official masks)."""
    images: Images = Images()
    """Images of your own data (`dataset_name: folders`)."""
    split_files: Annotated[SplitFiles | None, DATA] = None
    """Lists of the frames of each split (`dataset_name: folders`)."""
    split_folders: Annotated[SplitFolders | None, DATA] = None
    """Sub-folders of the images' folder with the frames of each split, in place of `split_files`."""
    split_fractions: Annotated[SplitFractions | None, DATA] = None
    """Shares of the frames of each split, drawn at random, in place of `split_files`."""
    splits: Splits = Splits()
    """Files of `gt_sets` that are the training, validation and test split (NYU)."""
    val_fraction: Annotated[Share, DATA] = 0.1
    """Share of the training frames that becomes the validation split where the data set has none."""
    data_split_file: Annotated[
        Text | None,
        about("numbers", "speed", "place", needs="data", may_become="another spelling"),
    ] = None
    """JSON file with the names per split (CelebA); without it: the split of CelebAMask-HQ's own script."""
    mask_void: Annotated[Literal["ignore", "background"], NUMBERS] = "ignore"
    """Meaning of 255 in a CelebA mask: not counted, or background."""
    input_shape: Annotated[Side | tuple[Side, Side], SeveralForms, DATA] = 256
    """Side of the square input in pixels, or [height, width]."""
    input_img_channels: Annotated[Literal[1, 3], DATA] = 3
    """Colour channels of the input: 3, or 1 for grey. `num_input_ch` is another name of this key."""
    depth_target: Annotated[Literal["relative", "metric"], NUMBERS] = "relative"
    """Depth divided by the frame's largest valid depth, or in metres."""
    augmentation: Augmentation = Augmentation()
    """Random changes of the training frames."""
    train_batch_size: Annotated[Int, Field(ge=2), DATA] = 16
    """Frames per training batch (batch norm needs two); the last incomplete batch is dropped."""
    batch_norm: Annotated[Literal["local", "sync"], WORK] = "local"
    """Frames that batch norm sees where several processes train (docs/scale.md): `local`, those of one process; `sync`, the
    whole batch, as one process does."""
    accumulate: Annotated[Int, Field(ge=1), DATA] = 1
    """Batches per step of the optimizer: the steps of a batch this many times as large, batch norm aside, in the memory of one
    (docs/runs.md); batches that make no whole step are dropped."""
    val_batch_size: Annotated[Int, Field(ge=1), about("speed")] = 8
    """Frames per validation batch; changes the speed only."""
    test_batch_size: Annotated[Int, Field(ge=1), about("speed")] = 8
    """Frames per test batch; changes the speed only."""
    num_workers: Annotated[Int, Field(ge=0), about("speed", may_become="anything")] = 0
    """Processes that load frames, or threads where there is a cache (at most one per core is used); 0 loads in the main
    process."""
    cache: Annotated[Cache, about("numbers", "speed", "place", needs="data", may_become="another place", machine=True)] = False
    """`on` keeps the decoded frames at `input_shape` on disk, in `loader_cache` beside the data, and reads them memory-mapped
    (rounding: docs/data.md); a text is another folder for them; `off` reads the files every time."""
    on_bad_sample: Annotated[Literal["error", "skip"], DATA] = "error"
    """Effect of a frame that cannot be read: `error` ends the run (with a cache before the training begins, else when its turn
    comes); `skip` leaves it out, and the results count and list it."""

    backbone: Annotated[str, OneOf(BACKBONES), about("numbers", "speed", needs="weights")] = "resnetd50"
    """Shared network: the paper's ResNet-D, or torchvision's ResNet."""
    output_stride: Annotated[Literal[8, 16], WORK] = 8
    """Input size divided by the size of the shared features."""
    init_weights: Annotated[Text | None, WEIGHTS] = None
    """Weights to start a torchvision backbone from: a torchvision name such as `IMAGENET1K_V2`, or a local file."""
    start_from: Annotated[Text | None, WEIGHTS] = None
    """Folder of a finished trial, or a checkpoint, whose whole network (backbone, heads and batch norm's statistics) the
    training starts from, with fresh moments; `{trial}` in it stands for the trial's number, and
    `{checkpoint_folder}` for that of the configuration."""
    normalize: Annotated[Literal["none", "imagenet"], WORK] = "none"
    """Normalisation of the input, inside the model."""
    head_width: Annotated[Int, Field(ge=1), WORK] = 256
    """Channels inside a dense head."""
    aspp_rates: Annotated[tuple[Annotated[Int, Field(ge=1)], ...], WORK] = (12, 24, 36)
    """Dilations of the dense heads' atrous spatial pyramid."""

    seg_loss_fn: Annotated[str, OneOf(SEGMENTATION_LOSSES), WORK] = "softCEloss"
    """Loss of the segmentation: cross-entropy with label smoothing 0.1, or one of the others."""
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[Text, tuple[Annotated[Number, Field(gt=0)], ...]],
        SeveralForms,
        about("numbers", may_become="what it stands for"),
    ] = "none"
    """Weights of the classes in the losses of segmentations, classifications and attributes: `balanced` means N / (C n) for a
    class with n of the N labelled training pixels (or frames) of C classes; or `{task: [weight, ...]}`."""
    distill: Distill = Distill()
    """A trained network that this one learns from, beside the data."""
    comb_loss: Annotated[str, OneOf(WEIGHTINGS), WORK] = "sum"
    """Rule by which the tasks' losses become one: sum, fixed weights, or learned uncertainty weights."""
    loss_weights: Annotated[
        dict[str, Annotated[Number, Field(ge=0)]] | None, about("numbers", used_with=("comb_loss", "wt_sum"))
    ] = None
    """Weight per task for `wt_sum`, normalised to sum to 1; without it they are equal."""
    loss_weight_lr: Annotated[Number, Field(gt=0), NUMBERS] = 1e-3
    """Learning rate of the learned weights of `uncertainty`."""

    optimizer: Annotated[Adam, NUMBERS] = "adamw"
    """Optimizer of the heads; `adam` means AdamW too."""
    optimizer_params: Annotated[OptimizerParams, about("numbers", used_with=("sparsify", "backbone_and_heads"))] = (
        OptimizerParams()
    )
    """Its settings."""
    bb_optimizer: Annotated[Adam, NUMBERS] = "adamw"
    """Optimizer of the backbone: AdamW, followed by the proximal step."""
    bb_optimizer_params: BackboneOptimizerParams = BackboneOptimizerParams()
    """Its settings, and the penalty."""
    group_sparsity: Annotated[Bool, about("numbers", "speed", penalty=True, in_a_study=AXIS)] = False
    """Train with the penalty; without it, `lambda` counts as 0."""
    sparsify: Annotated[
        Literal["backbone", "backbone_and_heads"], about("numbers", "speed", penalty=True, used_with=("group_sparsity", True))
    ] = "backbone"
    """Groups that have a penalty: `backbone` means the shared convolutions'; `backbone_and_heads` also the input channels of
    the heads' convolutions that read the shared features. With a target and a backbone's penalty that selects (`group_l0`),
    a feature is one group for all heads together, which the target counts beside the backbone's groups; else each convolution
    of a head has its own groups, with the penalty and the lambda of `optimizer_params` (`target_sparsity` and `lambda_list`
    are then about the backbone alone)."""
    sparsity_threshold: Annotated[Annotated[Number, Field(ge=0)] | None, PENALTY] = None
    """Epoch (or share of `epochs` if below 1) from which the penalty acts; none: 0, or with a target a fourteenth of
    the epochs. The best network is looked for from there, or once the strength changes no more: with a target from
    `sparsity_until`."""
    target_sparsity: Annotated[
        Share | None,
        about(
            "numbers", penalty=True, used_with=("group_sparsity", True), replaces="bb_optimizer_params.lambda", in_a_study=AXIS
        ),
    ] = None
    """Share of the shared groups that is to be zero, such as 0.7: lambda is then found while training, and the penalty's
    own is not used."""
    target_macs: Annotated[Share | None, BUDGET] = None
    """In place of `target_sparsity`: share of the dense network's multiply-adds (whole model, at `input_shape`) that is left in
    the compact one, such as 0.25. It needs `group_l0`, its default, and is reached at `sparsity_until`."""
    target_parameters: Annotated[Share | None, BUDGET] = None
    """The same for the parameters, such as 0.1."""
    sparsity_until: Annotated[Time, TARGETED] = 0.3
    """When the target is reached; then zero groups stay zero, and the rest trains on without the penalty. An epoch, or a
    share of `epochs` if below 1."""
    sparsity_ramp: Annotated[Literal["smooth", "cubic"], TARGETED] = "cubic"
    """Way from the dense network to the target: `smooth` is slow at both ends, `cubic` begins at once
    (1 - (1 - t)^3)."""
    keep_layers: Annotated[Number, Field(ge=0, lt=1), TARGETED] = 0.02
    """With a target: share of its groups, but at least one, that each layer keeps, and the features, where they are groups; 0
    lets layers die."""
    preserve_norm: Annotated[Bool | None, about("numbers", "speed", penalty=True, of_norms=True)] = None
    """Keep the norm of what a penalty on norms leaves of a shared layer before batch norm, so that it is not shrunk;
    none: with a target. `group_l0` shrinks nothing."""
    debias_from: Annotated[Time | None, PENALTY] = None
    """The same without a target: from then on zero groups stay zero and the penalty is off (epoch, or share of
    `epochs`)."""
    shrink: Annotated[Bool | None, about("speed", penalty=True)] = None
    """As groups stay zero, train on what is left of the network: the same training to rounding, in less time; none: with
    a target, where the backbone says what feeds what (`anatomy()`)."""
    lambda_list: Annotated[
        tuple[Annotated[Number, Field(ge=0)], ...] | None,
        about("record", may_become="anything", penalty=True, in_a_study="the study has the axis lambda"),
    ] = None
    """Several strengths: one experiment per entry, called `<Experiment_name>_lambda<value>`."""

    epochs: Annotated[Int, Field(ge=1), about("numbers", may_become="larger")] = 1000
    """Largest number of epochs."""
    lr_schedule: LRSchedule = LRSchedule()
    """Change of the learning rates."""
    earlystop_patience: Annotated[Int, Field(ge=1), NUMBERS] = 25
    """The trial ends after this many epochs in a row without improvement of the summed validation loss."""
    task_earlystop_patience: Annotated[Int, Field(ge=1), NUMBERS] = 25
    """A head is frozen after this many epochs in a row without improvement of its task's validation loss; once all are, the
    trial ends."""

    checkpoint: Annotated[
        Bool, about("record", may_become="anything", in_a_study="a study always continues what was interrupted")
    ] = False
    """Continue what is there of the experiment, as `--resume` does, and begin it where nothing is there, which `--resume`
    refuses."""
    checkpoint_folder: Annotated[
        Text, about("place", may_become="anything", in_a_study="the runs go into the study's folder; folder=<folder> moves it")
    ] = "results/runs/"
    """Folder of the trials' folders."""
    keep_state: Annotated[Bool, RECORD] = False
    """Keep `last.pt` (three times the weights) when a trial is trained and tested, so that it can go on with more `epochs`."""
    device: Annotated[
        str, Field(strict=True, pattern=r"^(auto|cpu|cuda(:\d+)?)$"), about("numbers", "speed", needs="device", machine=True)
    ] = "auto"
    """`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:1`."""
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], about("numbers", "speed", machine=True)] = "auto"
    """`bf16` and `fp16` are autocast, `fp16` (for GPUs without bf16) with scaled losses; `auto` is bf16 where the device
    computes it natively, else fp32 (in which CUDA may take TF32 for convolutions)."""
    channels_last: Annotated[Bool, about("speed")] = True
    """Memory layout of the convolutions; changes the speed only."""
    deterministic: Annotated[Bool, WORK] = False
    """On CUDA: ask for bit-identical repetitions, at some cost. The CPU is deterministic anyway."""
    data_terms: Annotated[Text | None, RECORD] = None
    """Source of the frames and the terms on which they may be used, for the model card; none: what is known of the data set."""
    tracking: Annotated[Tracking, about("record", needs="tracker", may_become="anything")] = "disabled"
    """A tracker beside the local files: wandb `online` (offline where there is no API key) or `offline`, `tensorboard` (event
    files in the trial's folder), or `disabled`."""
    wandb_project: Annotated[Text | None, RECORD] = None
    """wandb project; default: the environment's `WANDB_PROJECT`, else `less-is-more`."""
    wandb_entity: Annotated[Text | None, RECORD] = None
    """wandb entity; default: the environment's `WANDB_ENTITY`."""
    wandb_img_log: Annotated[Bool, about("record", "speed", may_become="anything")] = False
    """Draw predictions of validation frames while training (PNG in the trial folder, and in the tracker)."""
    img_log_every: Annotated[Int, Field(ge=1), about("record", "speed", may_become="anything")] = 10
    """Epochs between two such drawings; the best network is drawn at the end too."""

    @property
    def data_dir(self) -> Path:
        """Folder of the data set that `dataset_name` names."""
        folder = self.data_dir_ or getattr(self, self.data_dir_key)
        assert folder is not None, "load_config refuses this"
        return expanded(folder, self.data_dir_key)

    @property
    def data_dir_key(self) -> str:
        """The key that names this folder."""
        given = [key for key in self.data_set.folder_keys if getattr(self, key) is not None]
        return given[0] if given and self.data_dir_ is None else "data_dir"

    def with_data_dir(self, folder: Path) -> ExperimentConfig:
        """Return a copy whose data set lies in another folder."""
        return self.model_copy(update={**dict.fromkeys(self.data_set.folder_keys), "data_dir_": str(folder)})

    @property
    def data_set(self) -> DataSet:
        """The data set that `dataset_name` names."""
        return DATA_SETS[self.dataset_name]

    @property
    def data_title(self) -> str:
        """Name of the data in figures: of the user's own, that of their folder."""
        return self.data_set.title if self.tasks_ is None else self.data_dir.name

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks of `task_list` as the data set has them, by name, in that order."""
        return {name: self.find_task(name) for name in self.task_list}

    def find_task(self, name: str) -> Task:
        """Return a task as the data set has it, whether it is in `task_list` or not.

        Raises:
            KeyError: the data set has no such task.
        """
        if self.tasks_ is not None:
            task = self.tasks_[name].task(name)
        else:
            key, names = self.data_set.classes_key, self.data_set.label_sets
            chosen = [name for name, labels in names.items() if key is None or len(labels.classes) == getattr(self, key)]
            task = get_task(name, self.data_set, chosen[0] if chosen else "")
        return replace(task, main_metric=self.main_metrics.get(name, task.main_metric))

    @property
    def size(self) -> tuple[int, int]:
        """Input size (height, width) in pixels."""
        shape = self.input_shape
        return shape if isinstance(shape, tuple) else (shape, shape)

    @property
    def target(self) -> Target | None:
        """Target of a training with the penalty; None: it has none."""
        return next(iter(given_targets(dict(self))), None) if self.group_sparsity else None

    @property
    def penalty_lambda(self) -> float:
        """Strength of the backbone's penalty when it is full; 0 for a dense run, or where it is found while training."""
        return _final(self.bb_optimizer_params) if self.group_sparsity and self.target is None else 0.0

    @property
    def penalty(self) -> type[Penalty]:
        """Class of the backbone's penalty."""
        return PENALTIES[self.bb_optimizer_params.penalty or default_penalty(self.target)]

    @property
    def head_penalty(self) -> type[Penalty]:
        """Class of the heads' penalty."""
        return PENALTIES[self.optimizer_params.penalty or default_penalty(None)]

    @property
    def sparsifies_heads(self) -> bool:
        """True if the heads' convolutions that read the shared features are trained with a penalty."""
        return self.group_sparsity and self.sparsify == "backbone_and_heads"

    @property
    def joins_heads(self) -> bool:
        """True if a shared feature is one group for all heads together, which a target selects beside the backbone's groups."""
        return self.sparsifies_heads and self.target is not None and self.penalty.selects

    @property
    def head_penalty_lambda(self) -> float:
        """Strength of the heads' penalty when it is full; 0 where they have none."""
        return _final(self.optimizer_params) if self.sparsifies_heads else 0.0

    @property
    def debias_epoch(self) -> int | None:
        """Epoch from which zero groups stay zero and the penalty is off; None: never."""
        if not self.group_sparsity:
            return None
        time = self.debias_from if self.target is None else self.sparsity_until
        return None if time is None else self.epoch_at(time)

    @property
    def preserves_norm(self) -> bool:
        """True if a penalty on norms keeps the norm of what it leaves of a layer: `preserve_norm`, or its default here."""
        wanted = self.target is not None if self.preserve_norm is None else self.preserve_norm
        return wanted and not self.penalty.selects

    @property
    def shrinks(self) -> bool:
        """True if the network that trains becomes smaller: `shrink`, or its default here."""
        return self.group_sparsity and (self.target is not None if self.shrink is None else self.shrink)

    @property
    def sparsity_epoch(self) -> int:
        """Epoch from which the penalty acts."""
        targets = [] if self.target is None else [self.target]
        return Phases(self.sparsity_threshold, targets, self.sparsity_until, self.debias_from, self.epochs).start

    def epoch_at(self, time: float) -> int:
        """Return the epoch that a key such as `sparsity_until` means: itself, or a share of `epochs` if below 1."""
        return epoch_at(time, self.epochs)

    def trial_folder(self, trial: int) -> Path:
        """Return the folder of trial number ``trial`` (from 0)."""
        return expanded(self.checkpoint_folder, "checkpoint_folder") / f"{self.Experiment_name}_trial_{trial}"

    @property
    def networks(self) -> dict[str, str]:
        """Texts of the keys that name trained networks, which trials start from or learn from; of those that are given."""
        given = {"start_from": self.start_from, "distill.from": self.distill.from_}
        return {key: text for key, text in given.items() if text is not None}

    def network_path(self, key: str, trial: int) -> Path:
        """Return the path that one of :attr:`networks` names for a trial, by its number."""
        return expanded(self.networks[key].replace(RUNS, self.checkpoint_folder).replace(TRIAL, str(trial)), key)

    def with_values(self, **values: Any) -> ExperimentConfig:
        """Return a copy with other values of top-level keys, validated like a file's."""
        return validate_config({**self.as_dict(), **values}, source="configuration")

    def as_dict(self) -> dict[str, Any]:
        """Return the values of all keys by their YAML names, in plain YAML types."""
        return self.model_dump(mode="json", by_alias=True)

    def select(self, wanted: Callable[[Nature], bool]) -> dict[str, Any]:
        """Return the values of the keys with a ``wanted`` nature, by ``key.path``, in plain YAML types."""
        values = self.as_dict()
        sections = {key: value for key, value in values.items() if isinstance(value, dict)}
        values |= {f"{key}.{part}": value for key, section in sections.items() for part, value in section.items()}
        return {key: values[key] for key, nature in natures(type(self)).items() if wanted(nature)}

    def save(self, path: Path) -> None:
        """Write the configuration as a YAML file that ``load_config`` reads back to an equal object."""
        write_text(path, yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True))


def _final(params: OptimizerParams) -> float:
    """Return lambda at the end of the training; 0 where none is given."""
    return 0.0 if params.lambda_ is None else params.lambda_.final


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read a YAML file, apply ``key.path=value`` overrides, and validate.

    Raises:
        ConfigError: the file cannot be read, or anything in it (or in the overrides) is wrong; one message says it all.
    """
    raw = read_yaml(path)
    if "study" in raw:
        raise ConfigError(f"{path}: is a study (it has the key 'study'), not an experiment")
    problems: list[str] = []
    for override in overrides:
        problems += apply_override(raw, override)
    return validate_config(raw, source=str(path), problems=problems)


def validate_config(raw: dict[str, Any], source: str, problems: Iterable[str] = ()) -> ExperimentConfig:
    """Return the configuration with these plain values.

    Raises:
        ConfigError: every problem in one message, the caller's own ``problems`` among them.
    """
    values, contradictions = _normalise(raw)
    problems = [*problems, *contradictions]
    bad_keys: set[str] = set()
    try:
        config = ExperimentConfig.model_validate(values)
    except ValidationError as error:
        problems += describe_problems(error.errors(), ExperimentConfig)
        bad_keys = {str(item["loc"][0]) for item in error.errors()}
        good = {key: value for key, value in values.items() if key not in bad_keys}
        config = ExperimentConfig.model_validate({**_REQUIRED, **good})
    # Also where some keys are bad: the user wants to know it all at once.
    fields = ExperimentConfig.model_fields
    problems += rule_problems({name: value for name, value in config if not {name, fields[name].alias} & bad_keys})
    problems += [] if problems else [*_class_weight_problems(config), *_main_metric_problems(config)]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{source}: {count}\n" + "\n".join(f"  - {problem}" for problem in problems))
    return config


def _class_weight_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield what is wrong with the weights of classes; the tasks are what they should be."""
    if config.class_weights == "none":
        return
    known = {name: len(task.classes) or 2 for name, task in config.tasks.items() if task.classes or task.kind == "attribute"}
    given = config.class_weights if isinstance(config.class_weights, dict) else dict.fromkeys(known, (1.0,))
    if not known:
        yield f"class_weights: {shown(config.class_weights)} is for tasks with classes, and task_list has none"
    for name, weights in given.items():
        if name not in known:
            yield f"class_weights: {name!r} is no task with classes; expected some of {', '.join(known)}"
            continue
        if config.class_weights != "balanced" and (len(weights) != known[name]):
            yield f"class_weights.{name}: {shown(weights)} is not valid; expected {known[name]} weights above 0"
        task = config.tasks[name]
        loss = task.loss or config.seg_loss_fn
        if task.kind == "segmentation" and loss in OVERLAP_LOSSES:
            yield f"class_weights: has no meaning for the loss {loss!r} of {name}, which weighs classes alike by itself"


def _main_metric_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield what is wrong with the tasks that have another main metric; which metrics a task has is checked elsewhere."""
    for name in config.main_metrics:
        try:
            config.find_task(name)
        except KeyError:
            yield f"main_metrics: {name!r} is no task of the data; expected some of {', '.join(config.task_list)}"
            continue
        if config.tasks_ is not None and config.tasks_[name].metric is not None:
            yield f"main_metrics.{name}: contradicts tasks.{name}.metric; give one of them"


_REQUIRED = {"Experiment_name": "_", "dataset_name": next(iter(DATA_SETS)), "task_list": ["_"]}
"""Values in place of keys that are missing or bad; no rule sees them."""


def unused_keys(config: ExperimentConfig, typed: Collection[str] = ()) -> list[str]:
    """Return the keys that were set and change nothing in this experiment, each with the reason.

    Args:
        config: of the experiment.
        typed: keys that override those of a file; what they switch off there (``group_sparsity=false``) is not returned.
    """
    values, defaults = (some.select(lambda nature: True) for some in (config, ExperimentConfig.model_validate(_REQUIRED)))
    given = {key: nature for key, nature in natures(ExperimentConfig).items() if values[key] != defaults[key]}
    of_others = {key for data_set in DATA_SETS.values() for key in data_set.own_keys} - {*config.data_set.own_keys}
    parameters = {name for penalty in PENALTIES.values() for name in penalty.parameters()}
    unused = {}
    for key, nature in given.items():
        section, _, name = key.partition(".")
        off = _switched_off(nature, values)
        if off in typed and key not in typed:
            continue
        reason = f"{off} is {shown(values[off])}" if off else ""
        if section in of_others:
            reason = f"dataset_name is {config.dataset_name!r}"
        if not reason and config.joins_heads and nature.penalty and section == "optimizer_params":
            reason = "features are groups of the backbone's penalty"
        penalty = config.head_penalty if section == "optimizer_params" else config.penalty
        other = name in parameters - {*penalty.parameters()} or (nature.of_norms and penalty.selects)
        if not reason and config.group_sparsity and other:
            reason = f"the penalty is {penalty.name}"
        if not reason and config.group_sparsity and nature.of_target and config.target is None:
            reason = f"none of {', '.join(TARGETS)} is given"
        if section == "lr_schedule" and name not in ("name", *LRSchedule.reads[config.lr_schedule.name]):
            reason = f"lr_schedule.name is {config.lr_schedule.name!r}"
        if key == "distill.weight" and config.distill.from_ is None:
            reason = "distill.from is not given"
        if reason:
            unused[key] = reason
        elif nature.replaces in given:
            unused.setdefault(nature.replaces, f"{key} replaces it")
    return [f"{key} ({reason})" for key, reason in unused.items()]


def _switched_off(nature: Nature, values: Mapping[str, Any]) -> str:
    """Return the key because of whose value, among ``values``, another key has no effect; empty if it has one."""
    if nature.used_with is None:
        return ""
    other, value = nature.used_with
    return _switched_off(natures(ExperimentConfig)[other], values) or ("" if values[other] == value else other)


def _normalise(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the values with one name for the input's channels, which has two in published files, and with a list of tasks;
    and the problems."""
    values = {str(key): value for key, value in raw.items()}
    problems = []
    if isinstance(tasks := values.get("tasks"), dict) and "task_list" not in values:
        values["task_list"] = [str(name) for name in tasks]
    if "num_input_ch" in values:
        channels = values.pop("num_input_ch")
        if values.setdefault("input_img_channels", channels) != channels:
            problems.append(
                f"num_input_ch: {shown(channels)} contradicts input_img_channels: {shown(values['input_img_channels'])}; "
                "they are two names of one key: give one of them"
            )
    return values, problems
