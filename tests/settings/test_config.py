"""The configuration: published files load as they are, and everything that is wrong is said at once, in the user's words."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
import yaml

from engine.experiment import expand_lambdas
from settings.config import ExperimentConfig, OptimizerParams, load_config, unused_keys, validate_config
from settings.messages import shown
from settings.nature import Nature, about, natures
from settings.sections import Schema, Section, Strength, Warmup
from study.study_file import is_study
from tasks.data_sets import DATA_SETS
from tests.configs import make_config
from tests.settings import mutations
from utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]

MINIMAL = """
Experiment_name: try
dataset_name: NYU
task_list: [depth_euclidean]
data_dir_NYU: data/NYUD_MT
"""


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _load(tmp_path: Path, text: str, *overrides: str) -> ExperimentConfig:
    return load_config(_write(tmp_path, text), overrides)


def _problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The single problems of a refused configuration, without the line that counts them."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text, *overrides)
    head, *lines = str(caught.value).splitlines()
    assert re.search(rf": {len(lines)} problems?$", head)
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


def _problem(tmp_path: Path, text: str, *overrides: str) -> str:
    (problem,) = _problems(tmp_path, text, *overrides)
    return problem


# What people publish

PUBLISHED_NYU = """
'Experiment_name': 'exp_three_dense_tasks_'
'dataset_name': 'NYU'
'task_list': ['segmentsemantic', 'surface_normal', 'depth_euclidean']
'setup': 'multitask'
'group_sparsity': True
'sparsity_threshold': 0
'backbone': 'resnetd50'
'checkpoint': False
'checkpoint_folder': '/home/somebody/runs/'
'num_trials': 0
'wandb_img_log': False
'comb_loss': 'uncertainity'
'train_batch_size': 16
'val_batch_size': 8
'test_batch_size': 8
'input_shape': 256
'epochs': 1000
'num_workers': 8
'earlystop_patience': 25
'task_earlystop_patience': 25
'input_img_channels': 3
'seg_loss_fn': 'Tversky'
'optimizer': 'adam'
'bb_optimizer': 'adam'
'optimizer_params':
  'learning_rate': 1e-4
  'betas': [0.9, 0.999]
  'weight_decay': 0.01
  'penalty': 'l1_l2'
  'lambda': 1e-6
'bb_optimizer_params':
  'learning_rate': 1e-4
  'betas': [0.9, 0.999]
  'weight_decay': 0.1
  'penalty': 'l1_l2'
  'lambda': 1e-6
'data_dir_NYU': '/home/somebody/data/NYUD_MT'
'data_dir_celebA': '/home/somebody/data/CelebAMask-HQ'
"""

PUBLISHED_GRID = """
"Experiment_name": "grid_of_lambdas"
"dataset_name": "celebA"
"task_list": ["segmentsemantic", "class_male", "class_smile"]
"setup": "multitask"
"group_sparsity": True
"num_input_ch": 3
"backbone": "resnetd101"
"optimizer": "adamw"
"bb_optimizer": "adamw"
"optimizer_params": {"learning_rate": 1e-4, "betas": [0.9, 0.999], "weight_decay": 1e-2, "penalty": None, "lambda": None}
"bb_optimizer_params": {"learning_rate": 1e-4, "betas": [0.9, 0.999], "weight_decay": 0.1, "lambda": None}
"lambda_list": [1e-7, 1e-5, 0.001]
"data_dir_celebA": "~/data/CelebAMask-HQ"
"""


def test_a_published_file_loads_as_it_is(tmp_path: Path) -> None:
    assert isinstance(yaml.safe_load(PUBLISHED_NYU)["bb_optimizer_params"]["lambda"], str)  # what the text is about
    config = _load(tmp_path, PUBLISHED_NYU)
    assert config.bb_optimizer_params.lambda_ == Strength(config.penalty_lambda) == Strength(1e-6)
    assert config.bb_optimizer_params.learning_rate == 1e-4
    assert config.bb_optimizer_params.weight_decay == 0.1
    assert config.optimizer_params.weight_decay == 0.01
    assert config.bb_optimizer_params.betas == (0.9, 0.999)
    assert config.num_trials == 0
    assert config.task_list == ("segmentsemantic", "surface_normal", "depth_euclidean")
    assert config.trial_folder(3) == Path("/home/somebody/runs/exp_three_dense_tasks__trial_3")
    assert config.data_dir == Path("/home/somebody/data/NYUD_MT")
    assert config.size == (256, 256)


def test_a_published_grid_file_loads_as_it_is(tmp_path: Path) -> None:
    """``'lambda': None`` is PyYAML's text "None"; there is no num_trials; the channels have their other name."""
    text = PUBLISHED_GRID
    assert yaml.safe_load(text)["bb_optimizer_params"]["lambda"] == "None"
    config = _load(tmp_path, text)
    assert config.bb_optimizer_params.lambda_ is None
    assert config.lambda_list == (1e-7, 1e-5, 1e-3)
    assert config.num_trials == 1
    assert config.input_img_channels == 3
    assert config.data_dir == Path.home() / "data/CelebAMask-HQ"


@pytest.mark.parametrize("text", ["1e-6", "1.E-6", ".1e-5", "+1e-06", "0.000001", "' 1e-6 '"])
def test_a_number_is_a_number_however_it_is_written(text: str, tmp_path: Path) -> None:
    config = _load(tmp_path, MINIMAL + f"bb_optimizer_params: {{lambda: {text}}}\ngroup_sparsity: true\n")
    assert config.penalty_lambda == pytest.approx(1e-6, rel=1e-12)


@pytest.mark.parametrize("text", ["1e", "one", "true", "[1]", ".nan", ".inf", "'nan'", "-1e-6", "1_0e-3", "1_000.5e0", "٣e-3"])
def test_what_is_no_number_is_refused(text: str, tmp_path: Path) -> None:
    problem = _problem(tmp_path, MINIMAL + f"bb_optimizer_params: {{lambda: {text}}}\n")
    assert problem.startswith("bb_optimizer_params.lambda: ")


def test_the_two_names_of_the_input_channels_are_one_key(tmp_path: Path) -> None:
    assert _load(tmp_path, MINIMAL + "num_input_ch: 1\n").input_img_channels == 1
    assert _load(tmp_path, MINIMAL + "num_input_ch: 1\ninput_img_channels: 1\n").input_img_channels == 1
    problem = _problem(tmp_path, MINIMAL + "num_input_ch: 1\ninput_img_channels: 3\n")
    assert "num_input_ch: 1" in problem
    assert "input_img_channels: 3" in problem


def test_a_dense_run_has_no_penalty_whatever_lambda_says(tmp_path: Path) -> None:
    text = MINIMAL + "bb_optimizer_params: {lambda: 0.5}\n"
    assert _load(tmp_path, text).penalty_lambda == 0
    assert _load(tmp_path, text, "group_sparsity=true").penalty_lambda == 0.5


def test_a_partly_given_section_keeps_the_schemas_other_defaults(tmp_path: Path) -> None:
    params = _load(tmp_path, MINIMAL + "optimizer_params: {learning_rate: 3e-4}\n").optimizer_params
    assert params == OptimizerParams(learning_rate=3e-4)


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", ()),
        ("bb_optimizer_params:\n", ()),
        ("bb_optimizer_params:\n", ("bb_optimizer_params.learning_rate=1e-3",)),
        ("optimizer_params: {weight_decay: 0.5}\n", ("bb_optimizer_params={penalty: group_mcp}",)),
    ],
)
def test_the_backbones_weight_decay_is_the_papers_unless_it_is_given(
    tmp_path: Path, text: str, overrides: tuple[str, ...]
) -> None:
    config = _load(tmp_path, MINIMAL + text, *overrides)
    assert config.bb_optimizer_params.weight_decay == 0.1
    assert _load(tmp_path, MINIMAL + text, *overrides, "bb_optimizer_params.weight_decay=0.3").bb_optimizer_params == (
        config.bb_optimizer_params.model_copy(update={"weight_decay": 0.3})
    )
    config.save(tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config
    for run in expand_lambdas(config.with_values(group_sparsity=True, lambda_list=[1e-5, 1e-4])):
        assert run.bb_optimizer_params.weight_decay == 0.1


def test_a_section_without_keys_is_that_of_the_defaults(tmp_path: Path) -> None:
    """The marks of a section are those of its keys."""
    empty = _load(tmp_path, MINIMAL + "".join(f"{name}:\n" for name in _sections()))
    assert empty == _load(tmp_path, MINIMAL)
    assert len(_sections()) == 7
    for name, section in _sections().items():
        assert ExperimentConfig.model_fields[name].default == section()


# Errors name key, value, what was expected, and the nearest valid one

WRONG = [
    ("epohcs: 5", "epohcs", ["unknown key", "5", "did you mean 'epochs'?"]),
    ("Train_Batch_Size: 4", "Train_Batch_Size", ["unknown key", "did you mean 'train_batch_size'?"]),
    ("zzz: 1", "zzz", ["unknown key", "docs/configuration.md lists the keys"]),
    ("splits: {trian: a}", "splits.trian", ["unknown key", "'a'", "did you mean 'train'?"]),
    ("backbone: resnetd500", "backbone", ["'resnetd500'", "'resnetd18'", "did you mean 'resnetd50'?"]),
    ("comb_loss: uncertanty", "comb_loss", ["'uncertanty'", "'wt_sum'", "did you mean 'uncertainty'?"]),
    ("epochs: 0", "epochs", ["0", ">= 1"]),
    ("epochs: 2.5", "epochs", ["2.5", "a whole number"]),
    ("epochs: '10'", "epochs", ["'10'", "a whole number; without quotes"]),
    ("epochs: true", "epochs", ["true", "a whole number"]),
    ("cache: 1", "cache", ["1", "on, off, or the path of a folder"]),
    ("cache: ''", "cache", ["''", "on, off, or the path of a folder"]),
    ("train_batch_size: 1", "train_batch_size", ["1", ">= 2"]),
    ("optimizer_params: {betas: [0.9]}", "optimizer_params.betas", ["[0.9]", "too short", "expected: Decay rates"]),
    ("optimizer_params: {betas: [0.9, 0.9, 1]}", "optimizer_params.betas", ["[0.9, 0.9, 1]", "expected: Decay rates"]),
    ("optimizer_params: {1: 2}", "optimizer_params.1", ["unknown key", "the keys here are", "learning_rate"]),
    ("loss_weights: [1, 2]", "loss_weights", ["[1, 2]", "keys with values"]),
    ("optimizer_params: {betas: [0.9, 1.0]}", "optimizer_params.betas.1", ["1.0", "< 1"]),
    ("input_shape: 256x256", "input_shape", ["'256x256'", "Side of the square input in pixels"]),
    ("aspp_rates: 12", "aspp_rates", ["12", "a list in brackets"]),
    ("device: gpu", "device", ["'gpu'", "auto"]),
    ("checkpoint_folder: 7", "checkpoint_folder", ["7", "text"]),
    ("checkpoint_folder: ''", "checkpoint_folder", ["''", "some text"]),
    ("optimizer: sgd", "optimizer", ["'sgd' is not supported", "'adamw'"]),
    ("bb_optimizer: rmsprop", "bb_optimizer", ["'rmsprop'", "'adam' or 'adamw'"]),
    ("lambda_list: [1e-3, -1]", "lambda_list.1", ["-1", ">= 0"]),
    ("seed: 3000000000", "seed", ["3000000000", "< 2147483648"]),
    ("target_sparsity: 70", "target_sparsity", ["70", "< 1", "not a percentage: 0.7"]),
    ("target_sparsity: 0", "target_sparsity", ["0", "> 0"]),
    ("target_macs: 25", "target_macs", ["25", "< 1", "not a percentage: 0.25"]),
    ("target_sparsity: 70%", "target_sparsity", ["'70%'", "a number", "not a percentage: 0.7"]),
    ("target_sparsity: '0,7'", "target_sparsity", ["'0,7'", "a number; with a point, 0.7"]),
    ("learning_rate: 1e-3", "learning_rate", ["unknown key", "it belongs into optimizer_params or bb_optimizer_params"]),
    ("lambda: 1e-5", "lambda", ["unknown key", "(bb_optimizer_params.lambda)"]),
    ("num_input_chs: 3", "num_input_chs", ["unknown key", "did you mean 'num_input_ch'?"]),
    ("batch_size: 8", "batch_size", ["unknown key", "did you mean 'train_batch_size'?"]),
    ("learning_rat: 1e-3", "learning_rat", ["unknown key", "did you mean 'bb_optimizer_params.learning_rate'?"]),
    ("scale_crops: [1.2]", "scale_crops", ["unknown key", "did you mean 'augmentation.scale_crop'?"]),
    ("splits: {epohcs: 5}", "splits.epohcs", ["unknown key", "did you mean 'epochs', outside of splits?"]),
    ("splits: {hflp: true}", "splits.hflp", ["unknown key", "did you mean 'augmentation.hflip'?"]),
    ("bb_optimizer_params: {penalty: group_lasso}", "bb_optimizer_params.penalty", ["'group_lasso'", "did you mean 'l1_l2'?"]),
    ("seg_loss_fn: cross_entropy", "seg_loss_fn", ["did you mean 'softCEloss'?"]),
    ("epochs: 2024-05-17", "epochs", ["2024-05-17 is not valid", "a whole number"]),
    ("target_sparsity: .nan", "target_sparsity", ["nan", "a finite number"]),
    ("sparsity_until: 0", "sparsity_until", ["0", "> 0"]),
    ("sparsity_until: null", "sparsity_until", ["null", "a number"]),
    (
        "bb_optimizer_params: {target_sparsity: 0.5}",
        "bb_optimizer_params.target_sparsity",
        ["unknown key", "key of its own", "lambda, gamma"],
    ),
    ("lambda_list: 1e-4", "lambda_list", ["'1e-4'", "a list in brackets"]),
]


JARGON = re.compile(r"pydantic|tuple|constrained|\bstr\b|\bint\b|\bdict\b|NoneType|validat|Input should|Warmup")


@pytest.mark.parametrize(("line", "key", "said"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_wrong_setting_is_named_with_its_value_and_what_was_expected(
    line: str, key: str, said: list[str], tmp_path: Path
) -> None:
    problem = _problem(tmp_path, MINIMAL + line + "\n")
    assert problem.startswith(f"{key}: ")
    for part in said:
        assert part in problem
    assert not JARGON.search(problem)


def _sections() -> dict[str, type[pydantic.BaseModel]]:
    """Return the fields of the schema by their key."""
    fields = ExperimentConfig.model_fields.items()
    return {name: info.annotation for name, info in fields if hasattr(info.annotation, "model_fields")}  # type: ignore[misc]


@pytest.mark.parametrize("section", [None, *_sections()])
def test_whatever_a_key_is_given_it_loads_or_the_message_names_the_key(section: str | None) -> None:
    schema = ExperimentConfig if section is None else _sections()[section]
    keys = [info.alias or name for name, info in schema.model_fields.items()]
    outcomes = set()
    for key, value in itertools.product([*keys, "no_key"], mutations.JUNK):
        raw = {**yaml.safe_load(MINIMAL), **({key: value} if section is None else {section: {key: value}})}
        try:
            validate_config(raw, source="file")
            outcomes.add("loads")
        except ConfigError as error:
            outcomes.add("is refused")
            for problem in str(error).splitlines()[1:]:
                assert re.search(rf"(?<!\w){key}(?!\w)", problem), value
                assert section is None or problem.startswith(f"  - {section}.{key}"), value
                assert not mutations.JARGON.search(re.sub(r"'[^']*'|\[.*?\]|\{.*?\}", "", problem)), value
                assert len(problem) < 900
    assert len(outcomes) == 2


SLIPS = (str.upper, str.title, lambda word: word.replace("_", "-"), lambda word: word[:-1], lambda word: word + word[-1])


@pytest.mark.parametrize("slip", SLIPS)
def test_a_misspelled_key_is_named_with_the_one_that_was_meant(slip: Callable[[str], str]) -> None:
    raw = make_config().as_dict()
    for key in raw:
        other = slip(key)
        if other in raw:
            continue
        with pytest.raises(ConfigError, match=rf"  - {re.escape(other)}: unknown key .*did you mean '{key}'\?"):
            validate_config({**{name: value for name, value in raw.items() if name != key}, other: raw[key]}, source="file")


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", "", "-x"])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    """It becomes a part of folders' and files' names."""
    problem = _problem(tmp_path, MINIMAL.replace("Experiment_name: try", f"Experiment_name: '{name}'"))
    assert problem.startswith("Experiment_name: ")
    assert repr(name) in problem


def test_a_name_that_is_too_long_for_a_file_name_is_refused(tmp_path: Path) -> None:
    """Most file systems take 255 bytes, and what is added to it needs some."""
    assert _load(tmp_path, MINIMAL.replace("Experiment_name: try", f"Experiment_name: {'a' * 200}"))
    problem = _problem(tmp_path, MINIMAL.replace("Experiment_name: try", f"Experiment_name: {'a' * 201}"))
    assert problem.startswith("Experiment_name: 'aaa")
    assert problem.endswith(" is too long; expected at most 200 characters")


def test_missing_keys_say_what_they_are_for(tmp_path: Path) -> None:
    problems = _problems(tmp_path, "seed: 1\n")
    assert [problem.split(":")[0] for problem in problems] == ["Experiment_name", "dataset_name", "task_list"]
    assert all("is missing; expected: " in problem for problem in problems)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("depth_euclidean", "depth_euclidian") + "epohcs: 3\ncache: 1\nsetup: both\n"
    problems = _problems(tmp_path, text, "optimizer_params.learning_rate=0", "no equals sign")
    keys = {problem.split(":")[0].split(" ")[0] for problem in problems}
    assert keys == {"epohcs", "cache", "setup", "task_list", "optimizer_params.learning_rate", "override"}
    assert len(problems) == 6


# Combinations


def _changed(text: str = MINIMAL, **values: Any) -> str:
    return yaml.safe_dump({**yaml.safe_load(text), **values})


COMBINATIONS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"setup": "singletask", "task_list": ["depth_euclidean", "surface_normal"]},
        ["setup: 'singletask'", "task_list: ['depth_euclidean', 'surface_normal']"],
    ),
    ({"task_list": ["depth_euclidian"]}, ["task_list", "'depth_euclidian'", "did you mean 'depth_euclidean'?"]),
    ({"task_list": ["depth_euclidean"] * 2}, ["task_list", "twice"]),
    ({"task_list": ["class_male"]}, ["task_list", "'class_male'", "dataset_name: 'NYU'", "surface_normal"]),
    ({"data_dir_NYU": None}, ["data_dir_NYU", "is missing", "dataset_name: 'NYU'"]),
    (
        {"dataset_name": "NYU_MTAN", "data_dir_NYU": None},
        ["data_dir_NYU_MTAN", "is missing", "dataset_name: 'NYU_MTAN'"],
    ),
    (
        {"dataset_name": "NYU_MTAN", "task_list": ["edge_texture"]},
        ["task_list", "'edge_texture'", "dataset_name: 'NYU_MTAN'", "expected some of segmentsemantic, depth_euclidean"],
    ),
    ({"comb_loss": "wt_sum", "loss_weights": {"other": 1}}, ["loss_weights", "['other']", "['depth_euclidean']"]),
    ({"comb_loss": "wt_sum", "loss_weights": {"depth_euclidean": 0}}, ["loss_weights", "0"]),
    ({"init_weights": "IMAGENET1K_V2"}, ["init_weights", "'IMAGENET1K_V2'", "backbone", "'resnetd50'"]),
    (
        {"init_weights": "file.pt", "backbone": "resnet18", "input_img_channels": 1},
        ["init_weights", "'file.pt'", "input_img_channels: 3, not 1"],
    ),
    (
        {"group_sparsity": True, "epochs": 5, "sparsity_threshold": 5},
        ["sparsity_threshold: 5", "epochs: 5", "group_sparsity"],
    ),
    ({"normalize": "imagenet", "input_img_channels": 1}, ["normalize", "'imagenet'", "input_img_channels: 3, not 1"]),
    (
        {"dataset_name": "celebA", "data_dir_celebA": "faces", "task_list": ["class_Wearing_Hats"]},
        ["task_list: unknown task 'class_Wearing_Hats'", "class_<Attribute>"],
    ),
    ({"main_metrics": {"depth": "rmse"}}, ["main_metrics: 'depth' is no task of the data", "depth_euclidean"]),
    ({"celebA_classes": 18}, ["celebA_classes: 18 is not valid", "3 or 19"]),
]


@pytest.mark.parametrize(("values", "said"), COMBINATIONS)
def test_an_impossible_combination_names_its_keys(values: dict[str, Any], said: list[str], tmp_path: Path) -> None:
    problem = _problem(tmp_path, _changed(**values))
    for part in said:
        assert part in problem


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ({}, 40),
        ({"dataset_name": "NYU_MTAN"}, 13),
        ({"dataset_name": "celebA", "data_dir_celebA": "faces", "celebA_classes": 3}, 3),
        ({"dataset_name": "celebA", "data_dir_celebA": "faces", "celebA_classes": 19}, 19),
    ],
)
def test_the_classes_are_those_of_the_data(values: dict[str, Any], classes: int, tmp_path: Path) -> None:
    text = _changed(**{"task_list": ["segmentsemantic"], **values})
    assert len(_load(tmp_path, text).tasks["segmentsemantic"].classes) == classes


def test_mtan_takes_its_own_folder_before_that_of_nyu(tmp_path: Path) -> None:
    mtan = _changed(dataset_name="NYU_MTAN")
    config = _load(tmp_path, mtan)
    assert (config.data_dir, config.data_dir_key) == (Path("data/NYUD_MT"), "data_dir_NYU")
    config = _load(tmp_path, mtan, "data_dir_NYU_MTAN=data/mtan")
    assert (config.data_dir, config.data_dir_key) == (Path("data/mtan"), "data_dir_NYU_MTAN")
    assert _load(tmp_path, MINIMAL, "data_dir_NYU_MTAN=data/mtan").data_dir == Path("data/NYUD_MT")


@pytest.mark.parametrize("dataset", [name for name, data_set in DATA_SETS.items() if data_set.folder_keys])
def test_one_key_names_the_folder_of_every_data_set(dataset: str, tmp_path: Path) -> None:
    """In a file it contradicts the data set's own keys, and nothing else; on the command line the later key counts."""
    text = f"Experiment_name: try\ndataset_name: {dataset}\ntask_list: [segmentsemantic]\n"
    own = DATA_SETS[dataset].folder_keys
    with pytest.raises(ConfigError, match=f"{own[0]}: is missing"):
        _load(tmp_path, text)
    config = _load(tmp_path, text, "data_dir=here")
    assert (config.data_dir, config.data_dir_key) == (Path("here"), "data_dir")
    config.save(tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config
    assert _load(tmp_path, text, f"{own[0]}=there").with_data_dir(Path("here")).data_dir == Path("here")
    for key in own:
        with pytest.raises(ConfigError, match=f"data_dir: contradicts {key}, .* give one of them"):
            _load(tmp_path, f"{text}data_dir: here\n{key}: there\n")
        assert _load(tmp_path, f"{text}{key}: there\n", "data_dir=here").data_dir == Path("here")
        assert _load(tmp_path, f"{text}data_dir: there\n", f"{key}=here").data_dir == Path("here")
    (other,) = {"data_dir_NYU", "data_dir_celebA"} - set(own)
    assert _load(tmp_path, text, "data_dir=here", f"{other}=there").data_dir == Path("here")
    with pytest.raises(ConfigError, match="1 problem\n  - data_dir: 3 is not valid"):
        _load(tmp_path, text, "data_dir=3")


# How strong the penalty is over the epochs

SPARSE = MINIMAL + "group_sparsity: true\nepochs: 20\n"


@pytest.mark.parametrize(
    ("text", "strength", "full"),
    [
        ("1e-4", 1e-4, 1e-4),
        ("{value: 1e-4, warmup: 10}", Warmup(value=1e-4, warmup=10), 1e-4),
        ("{value: '1e-4', warmup: 1e1}", Warmup(value=1e-4, warmup=10), 1e-4),
        ("[[0, 1e-4], [2.5, 1.e-3], [2.5, '5e-4'], [1e1, .2]]", ((0.0, 1e-4), (2.5, 1e-3), (2.5, 5e-4), (10.0, 0.2)), 0.2),
        ("[[0, 1e-4], [5, 0]]", ((0.0, 1e-4), (5.0, 0.0)), 0.0),
    ],
)
def test_lambda_is_a_number_a_warmup_or_points(text: str, strength: Any, full: float, tmp_path: Path) -> None:
    text = f"bb_optimizer_params: {{lambda: {text}}}\n"
    config = _load(tmp_path, SPARSE + text)
    assert config.bb_optimizer_params.lambda_ == Strength(strength)
    assert config.penalty_lambda == full
    assert type(config.penalty_lambda) is float
    assert _load(tmp_path, SPARSE + text, "group_sparsity=false").penalty_lambda == 0
    assert _load(tmp_path, SPARSE + text, "group_sparsity=false").bb_optimizer_params.lambda_ == Strength(strength)


def test_the_forms_of_lambda_can_be_given_as_overrides(tmp_path: Path) -> None:
    config = _load(tmp_path, SPARSE, "bb_optimizer_params.lambda={value: 1e-4, warmup: 5}")
    assert config.bb_optimizer_params.lambda_ == Strength(Warmup(value=1e-4, warmup=5))
    config = _load(tmp_path, SPARSE, "bb_optimizer_params.lambda.value=1e-4", "bb_optimizer_params.lambda.warmup=5")
    assert config.bb_optimizer_params.lambda_ == Strength(Warmup(value=1e-4, warmup=5))
    config = _load(tmp_path, SPARSE, "bb_optimizer_params.lambda=[[0, 1e-4], [5, 1e-3]]")
    assert config.bb_optimizer_params.lambda_ == Strength(((0.0, 1e-4), (5.0, 1e-3)))


MALFORMED = [
    *("[]", "[[]]", "[1, 2]", "[[1, 2, 3]]", "[[0, 1e-4], 5]", "[[x, 1e-4]]", "[[0, None]]", "[[-1, 1e-4]]", "[[true, 1e-4]]"),
    *("[{epoch: 0, lambda: 1}]", "[[0, .nan]]", "linear"),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_another_form_of_lambda_is_refused_with_the_ones_there_are(text: str, tmp_path: Path) -> None:
    problem = _problem(tmp_path, SPARSE + f"bb_optimizer_params: {{lambda: {text}}}\n")
    value = shown(yaml.safe_load(text.replace("None", "null")))
    assert problem.startswith(f"bb_optimizer_params.lambda: {value} is not valid; expected: Strength of the penalty")
    for form in ("a number", "`{value: 1e-4, warmup: 10}`", "`[[epoch, lambda], ...]`"):
        assert form in problem
    assert not JARGON.search(problem.replace(value, ""))


WARMUPS = [
    ("{value: 1e-4}", ["warmup: is missing; expected: Epochs in which it rises"]),
    ("{value: 1e-4, warm_up: 3}", ["warmup: is missing", "warm_up: unknown key (value 3); did you mean 'warmup'?"]),
    ("{value: 1e-4, warmup: 3, more: 1}", ["more: unknown key (value 1); the keys here are value, warmup"]),
    ("{}", ["value: is missing", "warmup: is missing"]),
    ("{value: -1e-4, warmup: 3}", ["value: '-1e-4' is not valid; expected a number >= 0"]),
    ("{value: null, warmup: 3}", ["value: null is not valid; expected a number"]),
    ("{value: true, warmup: 3}", ["value: true is not valid; expected a number"]),
    ("{value: 1, warmup: .inf}", ["warmup: inf is not valid; expected a finite number"]),
]


@pytest.mark.parametrize(("text", "said"), WARMUPS, ids=[text for text, _ in WARMUPS])
def test_a_warmup_that_is_wrong_is_told_by_its_keys(text: str, said: list[str], tmp_path: Path) -> None:
    problems = _problems(tmp_path, SPARSE + f"bb_optimizer_params: {{lambda: {text}}}\n")
    assert len(problems) == len(said)
    for problem, part in zip(problems, said, strict=True):
        assert problem.startswith(f"bb_optimizer_params.lambda.{part}")
        assert not JARGON.search(problem)


TIMES = [(0.6, 20, 12), (0.5, 5, 2), (0.01, 20, 1), (0.99, 1000, 990), (1.0, 20, 1), (12, 20, 12)]


@pytest.mark.parametrize(("time", "epochs", "epoch"), TIMES)
def test_a_time_below_1_is_a_share_of_the_epochs(time: float, epochs: int, epoch: int) -> None:
    meant = make_config(epochs=epochs).epoch_at(time)
    assert meant == epoch
    assert type(meant) is int


def test_a_target_needs_no_lambda(tmp_path: Path) -> None:
    config = _load(tmp_path, SPARSE + "target_sparsity: 7e-1\n")
    assert (config.target_sparsity, config.sparsity_until, config.penalty_lambda) == (0.7, 0.3, 0)
    assert (config.sparsity_epoch, config.epoch_at(config.sparsity_until)) == (1, 6)
    assert config.penalty.name == "group_l0"
    assert _load(tmp_path, SPARSE + "target_sparsity: 0.7\n", "bb_optimizer_params.penalty=l1_l2").penalty.name == "l1_l2"
    strength = _load(tmp_path, SPARSE, "bb_optimizer_params.lambda=1e-4")
    assert (strength.penalty.name, strength.sparsity_epoch) == ("l1_l2", 0)
    assert unused_keys(config) == []
    given = _load(tmp_path, SPARSE + "target_sparsity: 0.7\n", "bb_optimizer_params.lambda=1e-4")
    assert given.penalty_lambda == 0
    assert unused_keys(given) == ["bb_optimizer_params.lambda (target_sparsity replaces it)"]
    assert _load(tmp_path, SPARSE + "target_sparsity: None\n").target_sparsity is None


@pytest.mark.parametrize("epochs", [2, 3, 4, 7, 8, 14, 30, 1000])
def test_a_target_has_a_schedule_in_a_training_of_any_length(epochs: int, tmp_path: Path) -> None:
    config = _load(tmp_path, MINIMAL + f"group_sparsity: true\ntarget_sparsity: 0.7\nepochs: {epochs}\n")
    assert 0 <= config.sparsity_epoch < config.epoch_at(config.sparsity_until) < epochs
    assert config.sparsity_epoch == (0 if epochs < 5 else max(1, epochs // 14))


@pytest.mark.parametrize(
    "values",
    [
        {"target_sparsity": 0.7, "sparsity_until": 500},
        {"target_sparsity": 0.7, "debias_from": 10},
        {"bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": 500}}},
        {"bb_optimizer_params": {"lambda": [[5, 1e-4], [3, 1e-4]]}},
    ],
    ids=str,
)
def test_without_group_sparsity_all_of_it_is_a_dense_run(values: dict[str, Any], tmp_path: Path) -> None:
    config = _load(tmp_path, _changed(SPARSE, **values), "group_sparsity=false")
    assert config.penalty_lambda == 0


FINAL = {"bb_optimizer_params": {"penalty": "group_l0"}}
"""A penalty whose zeros are final."""

SCHEDULES: list[tuple[dict[str, Any], list[str]]] = [
    ({"target_sparsity": 0.5, "sparsity_until": 5, "sparsity_threshold": 5}, ["sparsity_until: 5", "sparsity_threshold: 5"]),
    ({"target_sparsity": 0.5, "sparsity_threshold": 15}, ["sparsity_until: 0.3 means epoch 6", "sparsity_threshold: 15"]),
    ({"target_sparsity": 0.5, "sparsity_until": 60}, ["sparsity_until: 60 means epoch 60", "before epochs: 20"]),
    ({"target_sparsity": 0.5, "sparsity_until": 0.99}, ["sparsity_until: 0.99 means epoch 20", "before epochs: 20"]),
    ({"debias_from": 20}, ["debias_from: 20", "before epochs: 20"]),
    ({"debias_from": 0.2, "sparsity_threshold": 4}, ["debias_from: 0.2 means epoch 4", "sparsity_threshold: 4"]),
    ({"target_sparsity": 0.5, "debias_from": 10}, ["debias_from: contradicts target_sparsity", "sparsity_until"]),
    ({"target_sparsity": 0.5, "lambda_list": [1e-5]}, ["lambda_list: contradicts target_sparsity"]),
    ({**FINAL, "target_macs": 0.5, "target_sparsity": 0.5}, ["target_macs: contradicts target_sparsity; give one of them"]),
    ({**FINAL, "target_parameters": 0.5, "debias_from": 10}, ["debias_from: contradicts target_parameters", "sparsity_until"]),
    ({**FINAL, "target_macs": 0.5, "sparsity_until": 60}, ["sparsity_until: 60 means epoch 60", "before epochs: 20"]),
    (
        {"target_macs": 0.5, "bb_optimizer_params": {"penalty": "l1_l2"}},
        ["target_macs: needs a penalty whose zeros are final", "l1_l2", "bb_optimizer_params.penalty to group_l0"],
    ),
    (
        {"lambda_list": [1e-5], "bb_optimizer_params": {"lambda": [[0, 1e-4], [5, 1e-3]]}},
        ["lambda_list: contradicts the points in bb_optimizer_params.lambda"],
    ),
    ({"bb_optimizer_params": {"lambda": [["10", 1e-4], [9, 1e-3]]}}, ["bb_optimizer_params.lambda: ", "in order of time"]),
    ({"bb_optimizer_params": {"lambda": [[0, 0], ["1e2", 1]]}}, ["bb_optimizer_params.lambda: ", "epoch 100", "epochs is 20"]),
    (
        {"lambda_list": [1e-5], "bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": "2e1"}}},
        ["bb_optimizer_params.lambda: ", "warmup ends at epoch 20", "epochs is 20"],
    ),
    (
        {"debias_from": 4, "bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": 5}}},
        ["bb_optimizer_params.lambda: ", "ends at epoch 5, and debias_from is 4"],
    ),
    ({"debias_from": 1.5}, ["debias_from: 1.5 is neither an epoch"]),
    ({"target_sparsity": 0.5, "sparsity_until": 6.5}, ["sparsity_until: 6.5 is neither an epoch"]),
    ({"sparsity_threshold": 1.5}, ["sparsity_threshold: 1.5 is neither an epoch"]),
    # No network would ever be the best one, and a trained trial would have no checkpoint to test.
    (
        {"sparsity_threshold": 5, "bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": 15}}},
        ["bb_optimizer_params.lambda: ", "warmup ends at epoch 20"],
    ),
    (
        {"bb_optimizer_params": {"lambda": [[0, 1e-4], [19.5, 1e-3]]}},
        ["bb_optimizer_params.lambda: ", "last point lies at epoch 19.5"],
    ),
]


@pytest.mark.parametrize(("values", "said"), SCHEDULES)
def test_a_schedule_that_cannot_be_is_one_sentence_about_its_key(
    values: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    problem = _problem(tmp_path, _changed(SPARSE, **values))
    assert problem.startswith(said[0])
    for part in said:
        assert part in problem
    assert not JARGON.search(problem)


@pytest.mark.parametrize(
    "values",
    [
        {"target_sparsity": 0.5, "sparsity_until": 6, "sparsity_threshold": 5},
        {"target_sparsity": 0.5, "sparsity_until": 19},
        {"target_sparsity": 0.5, "epochs": 2},
        {"debias_from": 19, "bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": 5}}},
        {"bb_optimizer_params": {"lambda": [[3, 1e-4], [3, 1e-3], [19, 1e-4]]}},
        {"bb_optimizer_params": {"penalty": "sparse_group_lasso", "l1_ratio": 1, "lambda": "1e-4"}, "debias_from": 0.5},
        {"bb_optimizer_params": {"penalty": "sparse_group_lasso", "l1_ratio": "5e-2"}, "target_sparsity": "3e-1"},
    ],
    ids=str,
)
def test_a_schedule_that_just_fits_loads_and_is_the_same_once_saved(values: dict[str, Any], tmp_path: Path) -> None:
    config = _load(tmp_path, _changed(SPARSE, **values))
    config.save(tmp_path / "saved.yaml")
    again = load_config(tmp_path / "saved.yaml")
    assert again == config
    assert again.as_dict() == config.as_dict()
    assert again.with_values(seed=1).bb_optimizer_params == config.bb_optimizer_params
    for key, value in values.items():
        if not isinstance(value, dict | list):
            assert float(getattr(again, key)) == float(value)
    assert all(type(value) in (bool, int, float, str, list, dict, type(None)) for value in config.as_dict().values())


# Overrides


def test_overrides_replace_values_and_make_sections(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        MINIMAL + "optimizer_params: {learning_rate: 3e-4, weight_decay: 0.5}\n",
        "epochs=7",
        "optimizer_params.learning_rate=1e-2",
        "bb_optimizer_params.lambda=1e-3",
        "input_shape=[32, 48]",
        "data_dir_NYU=/some where/a=b",
        "splits.val=null",
        "group_sparsity=true",
        "epochs=8",
    )
    assert config.epochs == 8  # the last one wins
    assert (config.optimizer_params.learning_rate, config.optimizer_params.weight_decay) == (1e-2, 0.5)
    assert config.penalty_lambda == 1e-3
    assert config.size == (32, 48)
    assert config.data_dir_NYU == "/some where/a=b"
    assert config.splits.val is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epochs", "override 'epochs': expected key=value"),
        ("epochs.deeper=3", "override 'epochs.deeper=3': 'epochs' holds one value, not keys"),
        ("task_list=[a", "override 'task_list=[a': the value is not valid YAML"),
        ("epochs=", "epochs: null is not valid"),
    ],
)
def test_a_wrong_override_is_quoted(override: str, said: str, tmp_path: Path) -> None:
    assert said in _problem(tmp_path, MINIMAL + "epochs: 3\n", override)


# Files


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"experiment\.yaml: .*key 'seed' is given twice \(line 7\)"):
        _load(tmp_path, MINIMAL + "seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match="key 'gamma' is given twice"):
        _load(tmp_path, MINIMAL + "optimizer_params: {gamma: 1, gamma: 2}\n")
    # Published files quote their keys: the same key with and without quotes is still one.
    with pytest.raises(ConfigError, match="key 'seed' is given twice"):
        _load(tmp_path, MINIMAL + "'seed': 1\nseed: 2\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "is not valid YAML"),
        ("- a\n- b", "expected 'key: value' lines, found list"),
        ("", "is empty; expected 'key: value' lines"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"experiment\.yaml: ") as caught:
        _load(tmp_path, text)
    assert said in str(caught.value)


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    _write(tmp_path, MINIMAL)
    with pytest.raises(ConfigError, match=r"gone\.yaml: there is no such file; beside it: .*experiment\.yaml"):
        load_config(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml is no UTF-8"):
        load_config(tmp_path / "binary.yaml")


def test_what_is_saved_loads_to_an_equal_configuration(tmp_path: Path) -> None:
    configs = [
        _load(tmp_path, PUBLISHED_NYU),
        _load(tmp_path, PUBLISHED_GRID),
        make_config(
            comb_loss="wt_sum",
            loss_weights={"segmentsemantic": 1, "depth_euclidean": 2, "surface_normal": 1e-3},
            input_shape=[32, 48],
            splits={"train": "fit", "val": None, "test": "größer"},
            augmentation={"hflip": True, "scale_crop": [1.0, 1.2]},
            bb_optimizer_params={"penalty": "group_mcp", "gamma": 2.5, "lambda": 3e-5},
            tracking="disabled",
        ),
    ]
    for number, config in enumerate(configs):
        path = tmp_path / f"saved_{number}.yaml"
        config.save(path)
        again = load_config(path)
        assert again == config
        assert again.as_dict() == config.as_dict()
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["bb_optimizer_params"].keys() >= {"lambda", "gamma"}


@pytest.mark.parametrize("text", ["off", "'off'"])
def test_a_bare_off_for_the_tracker_means_disabled(text: str, tmp_path: Path) -> None:
    assert _load(tmp_path, MINIMAL + f"tracking: {text}\n").tracking == "disabled"


# The object


def test_it_is_frozen_throughout() -> None:
    config = make_config()
    with pytest.raises(pydantic.ValidationError):
        config.epochs = 3
    with pytest.raises(pydantic.ValidationError):
        config.bb_optimizer_params.lambda_ = 3.0


def test_with_values_is_validated_like_a_file() -> None:
    assert make_config().with_values(epochs=9).epochs == 9
    with pytest.raises(ConfigError, match=r"epohcs: unknown key .*'epochs'"):
        make_config().with_values(epohcs=9)


def test_unused_keys_are_those_that_change_nothing_here() -> None:
    assert unused_keys(make_config()) == []
    heads = make_config(optimizer_params={"penalty": "group_mcp", "lambda": 1e-3, "gamma": 2.0})
    dense = "(group_sparsity is false)"
    assert unused_keys(heads) == [f"optimizer_params.{name} {dense}" for name in ("penalty", "lambda", "gamma")]
    weights = {"segmentsemantic": 1, "depth_euclidean": 1, "surface_normal": 1}
    assert unused_keys(make_config(loss_weights=weights)) == ["loss_weights (comb_loss is 'sum')"]
    assert unused_keys(make_config(loss_weights=weights, comb_loss="wt_sum")) == []
    assert unused_keys(make_config(data_split_file="names.json")) == ["data_split_file (dataset_name is 'NYU')"]
    celeba = {"dataset_name": "celebA", "data_split_file": "names.json"}
    assert unused_keys(make_config(**celeba, splits={"test": "val"}, celebA_classes=19)) == [
        "splits.test (dataset_name is 'celebA')"
    ]
    mtan = {"dataset_name": "NYU_MTAN", "data_split_file": "names.json", "splits": {"test": "val"}}
    assert unused_keys(make_config(**mtan)) == [
        f"{key} (dataset_name is 'NYU_MTAN')" for key in ("splits.test", "data_split_file")
    ]
    assert unused_keys(make_config(lr_schedule={"name": "cosine", "factor": 0.5, "min_lr": 1e-5})) == [
        "lr_schedule.factor (lr_schedule.name is 'cosine')"
    ]
    assert unused_keys(make_config(lr_schedule={"name": "step", "factor": 0.5, "step_size": 2})) == []
    assert unused_keys(make_config(lr_schedule={"step_size": 2, "patience": 3})) == [
        "lr_schedule.step_size (lr_schedule.name is 'plateau')"
    ]
    assert unused_keys(make_config(celebA_classes=19)) == ["celebA_classes (dataset_name is 'NYU')"]
    assert unused_keys(make_config(target_sparsity=0.5)) == [f"target_sparsity {dense}"]
    assert unused_keys(make_config(target_sparsity=0.5), typed=["group_sparsity"]) == [], "switched off on purpose"
    assert unused_keys(make_config(target_sparsity=0.5), typed=["group_sparsity", "target_sparsity"])
    assert unused_keys(make_config(target_sparsity=0.5), typed=["target_sparsity"]), "of a dense file"
    assert unused_keys(make_config(sparsify="backbone_and_heads")) == [f"sparsify {dense}"]
    assert unused_keys(make_config(optimizer_params={"l1_ratio": 0.2})) == [f"optimizer_params.l1_ratio {dense}"]
    own = {"group_sparsity": True, "bb_optimizer_params": {"lambda": 1e-4, "saliency": "fisher", "l1_ratio": 0.2}}
    nothing = "(none of target_sparsity, target_macs, target_parameters is given)"
    assert unused_keys(make_config(**own, keep_layers=0.1)) == [
        *(f"bb_optimizer_params.{name} (the penalty is l1_l2)" for name in ("l1_ratio", "saliency")),
        f"keep_layers {nothing}",
    ]
    assert unused_keys(make_config(bb_optimizer_params=own["bb_optimizer_params"], keep_layers=0.1)) == []
    sparse = {"group_sparsity": True, "target_sparsity": 0.5, "preserve_norm": True}
    assert unused_keys(make_config(**sparse, bb_optimizer_params={"penalty": "l1_l2"})) == []
    assert unused_keys(make_config(**sparse)) == ["preserve_norm (the penalty is group_l0)"]


def test_unused_keys_stay_quiet_about_a_saved_configuration(tmp_path: Path) -> None:
    """A saved file gives every key; those with their default value were not asked for."""
    make_config().save(tmp_path / "saved.yaml")
    assert unused_keys(load_config(tmp_path / "saved.yaml")) == []


def test_every_key_has_a_docstring() -> None:
    for schema in (ExperimentConfig, *_sections().values()):
        assert all(field.description for field in schema.model_fields.values()), schema.__name__


def test_every_key_says_what_it_is_about() -> None:
    keys = {info.alias or key for key, info in ExperimentConfig.model_fields.items() if key not in _sections()}
    for name, section in _sections().items():
        keys |= {f"{name}.{info.alias or key}" for key, info in section.model_fields.items()}
    known = natures(ExperimentConfig)
    assert known.keys() == keys
    for key, nature in known.items():
        assert nature.alters, key
        assert nature.may_become != "anything" or "numbers" not in nature.alters, key
        assert nature.used_with is None or nature.used_with[0] in keys, key
        assert nature.replaces in {"", *keys}, key


def test_a_new_key_is_one_field_and_every_question_is_answered_there() -> None:
    class Blur(Section):
        radius: Annotated[float, about("numbers", "speed", machine=True)] = 0.0

    class Larger(ExperimentConfig):
        blur: Blur = Blur()
        note: Annotated[str, about("record", needs="tracker")] = ""

    toy = Larger(Experiment_name="toy", dataset_name="NYU", task_list=("edges",), blur=Blur(radius=2.0))
    assert toy.select(lambda nature: nature.machine)["blur.radius"] == 2.0
    assert {"note", "tracking"} == toy.select(lambda nature: nature.needs == "tracker").keys()
    assert "note" not in toy.select(lambda nature: "numbers" in nature.alters)


def test_a_key_that_does_not_say_what_it_is_about_is_refused() -> None:
    class Part(Section):
        silent: int = 0

    class Whole(Schema):
        told: Annotated[int, Nature(("numbers",))] = 0
        part: Part = Part()

    with pytest.raises(TypeError, match=r"Part\.silent: a Nature is missing"):
        natures(Whole)


@pytest.mark.parametrize(
    ("strength", "points", "doubled"),
    [
        (Strength(0.5), ((3, 0.5),), Strength(1.0)),
        (Strength(Warmup(value=0.5, warmup=4)), ((3, 0), (7, 0.5)), Strength(Warmup(value=1.0, warmup=4))),
        (Strength(Warmup(value=0.5, warmup=0)), ((3, 0.5),), Strength(Warmup(value=1.0, warmup=0))),
    ],
)
def test_a_strength_is_points_over_the_epochs_with_a_final_value(
    strength: Strength, points: tuple[tuple[float, float], ...], doubled: Strength
) -> None:
    assert strength.points(3) == points
    assert (strength.final, points[-1][1]) == (0.5, 0.5)
    assert strength.with_final(1.0) == doubled


# The files that are shipped

SHIPPED = [path for path in sorted((ROOT / "config").glob("*.yaml")) if not is_study(path)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load_config(path)
    assert unused_keys(config) == []
    assert config.num_trials >= 1
    assert not config.checkpoint_folder.startswith(("/", "~"))


# A penalty on the heads as well

HEADS = {"sparsify": "backbone_and_heads", "bb_optimizer_params": {"lambda": 1e-4}}


@pytest.mark.parametrize("lambda_", [None, "0.0", {"value": 0, "warmup": 3}, [[0, 0], [5, 0.0]], "missing"])
def test_heads_cannot_be_sparsified_without_a_strength(lambda_: Any, tmp_path: Path) -> None:
    params = {} if lambda_ == "missing" else {"optimizer_params": {"lambda": lambda_}}
    problem = _problem(tmp_path, _changed(SPARSE, **HEADS, **params))
    assert problem.startswith("sparsify: 'backbone_and_heads' needs the strength of the heads' penalty")
    assert "optimizer_params.lambda=1e-4" in problem
    assert "set sparsify to 'backbone'" in problem
    assert not JARGON.search(problem)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer_params": {"lambda": {"value": 1e-4, "warmup": 20}}}, ["warmup ends at epoch 20", "epochs is 20"]),
        (
            {"optimizer_params": {"lambda": {"value": 1e-4, "warmup": 5}}, "debias_from": 4},
            ["warmup ends at epoch 5", "debias_from is 4"],
        ),
        (
            {
                **{"optimizer_params": {"lambda": [[0, 0], ["13", 1e-4]]}, "target_sparsity": 0.5},
                "bb_optimizer_params": {"penalty": "l1_l2"},
            },
            ["last point lies at epoch 13", "sparsity_until is 0.3"],
        ),
    ],
)
def test_the_heads_strength_has_to_fit_the_training(values: dict[str, Any], said: list[str], tmp_path: Path) -> None:
    problem = _problem(tmp_path, _changed(SPARSE, **{**HEADS, **values}))
    for part in ("optimizer_params.lambda: ", *said):
        assert part in problem
    assert problem.startswith("optimizer_params.lambda")


JOINT = {**HEADS, "bb_optimizer_params": {"penalty": "group_l0"}, "target_sparsity": 0.5}


def test_features_that_a_target_selects_have_no_strength_of_their_own(tmp_path: Path) -> None:
    config = _load(tmp_path, _changed(SPARSE, **JOINT))
    assert (config.joins_heads, config.sparsifies_heads, config.head_penalty_lambda) == (True, True, 0)
    assert unused_keys(config) == []
    problem = _problem(tmp_path, _changed(SPARSE, **JOINT, optimizer_params={"lambda": 1e-4}))
    assert problem.startswith("optimizer_params.lambda: 0.0001 has no effect with target_sparsity")
    assert "'group_l0'" in problem
    assert not JARGON.search(problem)
    given = _load(tmp_path, _changed(SPARSE, **JOINT, optimizer_params={"penalty": "group_mcp", "learning_rate": 1e-3}))
    assert unused_keys(given) == ["optimizer_params.penalty (features are groups of the backbone's penalty)"]


@pytest.mark.parametrize(
    "change", ["target_sparsity=null", "bb_optimizer_params.penalty=l1_l2", "sparsify=backbone", "group_sparsity=false"]
)
def test_features_are_groups_of_all_heads_under_a_target_that_selects_alone(change: str, tmp_path: Path) -> None:
    more = ["optimizer_params.lambda=1e-4"] if change[0] in "tb" else []
    assert not _load(tmp_path, _changed(SPARSE, **JOINT), change, *more).joins_heads


@pytest.mark.parametrize(
    ("lambda_", "full"), [("1e-4", 1e-4), ({"value": 1e-4, "warmup": 5}, 1e-4), ([[0, 1e-3], [6, 1e-4]], 1e-4)]
)
def test_the_heads_strength_is_used_only_if_heads_are_sparsified(lambda_: Any, full: float, tmp_path: Path) -> None:
    text = _changed(SPARSE, **HEADS, optimizer_params={"lambda": lambda_, "penalty": "group_mcp"}, target_sparsity=0.5)
    text = _changed(text, bb_optimizer_params={"penalty": "l1_l2"})
    config = _load(tmp_path, text, "bb_optimizer_params.lambda=null")
    assert (config.sparsifies_heads, config.head_penalty_lambda, config.penalty_lambda) == (True, full, 0)
    assert unused_keys(config) == []
    backbone = _load(tmp_path, text, "sparsify=backbone", "bb_optimizer_params.lambda=null")
    assert (backbone.sparsifies_heads, backbone.head_penalty_lambda) == (False, 0)
    assert unused_keys(backbone) == [f"optimizer_params.{name} (sparsify is 'backbone')" for name in ("penalty", "lambda")]


@pytest.mark.parametrize(
    ("values", "epoch"),
    [
        ({}, None),
        ({"debias_from": 0.5}, 10),
        ({"target_sparsity": 0.5}, 6),
        ({"target_sparsity": 0.5, "sparsity_until": 7}, 7),
        ({"debias_from": 5, "group_sparsity": False}, None),
    ],
    ids=str,
)
def test_when_the_zeros_are_fixed(values: dict[str, Any], epoch: int | None) -> None:
    given = {"group_sparsity": True, "bb_optimizer_params": {"lambda": 1.0}, "epochs": 20, **values}
    assert make_config(**given).debias_epoch == epoch


@pytest.mark.parametrize(
    ("text", "value"),
    [("on", True), ("off", False), ("'on'", True), ("'Off'", False), ("frames", "frames")],
)
def test_cache_is_on_off_or_a_folder(text: str, value: bool | str, tmp_path: Path) -> None:
    config = _load(tmp_path, MINIMAL + f"cache: {text}\n")
    assert config.cache is value if isinstance(value, bool) else config.cache == value
    config.save(tmp_path / "again.yaml")
    assert load_config(tmp_path / "again.yaml") == config
