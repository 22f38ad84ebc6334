"""A study's file: what is wrong in it, or in what it is put together with, is said at once and in the user's words."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, note, settings
from hypothesis import strategies as st

from settings.config import load_config, unused_keys
from settings.targets import TARGETS
from study.plan import Study, load_study, study_from_values, study_values
from study.study_file import DECIDED, StudyFile, is_study, load_study_file, merge
from tests.settings.mutations import JARGON, JUNK, UNCHECKED, misspelled
from tests.study.files import study_file, write
from utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def problems_of(path: Path, *overrides: str) -> list[str]:
    """The single problems of a refused study, without the line that counts them."""
    with pytest.raises(ConfigError) as caught:
        load_study(path, overrides)
    head, *lines = str(caught.value).splitlines()
    assert re.search(rf"^{re.escape(str(path))}.*: {len(lines)} problems?$", head), head
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


def problem_of(path: Path, *overrides: str) -> str:
    (problem,) = problems_of(path, *overrides)
    return problem


# The files that are shipped

SHIPPED = [path for path in sorted((ROOT / "config").glob("*.yaml")) if is_study(path)]


def test_there_are_shipped_studies() -> None:
    assert {"study_nyu_small.yaml", "study_demo.yaml"} <= {path.name for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_study_loads(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert study.folder == Path("results/studies") / path.stem
    header = path.read_text(encoding="utf-8").split("\nstudy:")[0]
    assert f"{len(study.runs)} runs" in header
    unused = [{key for key in unused_keys(setting.config) if key[:16] != "optimizer_params"} for setting in study.settings]
    assert set.intersection(*unused) == set(), "of no use in any setting"
    for setting in study.settings:
        assert not setting.config.checkpoint_folder.startswith(("/", "~"))
    alone = [setting for setting in study.settings if setting.config.setup == "singletask" and not setting.sparse]
    baseline = {setting.config.task_list for setting in alone}
    tasks = {task for setting in study.settings for task in setting.config.task_list}
    assert baseline == {(task,) for task in tasks}, "every task has its single-task dense model"


def test_the_study_on_a_cpu_has_the_runs_that_it_needs() -> None:
    study = load_study(ROOT / "config" / "study_nyu_small.yaml")
    assert {setting.name: setting.trials for setting in study.settings} == {
        **dict.fromkeys(("seg_dense", "depth_dense", "sn_dense"), 1),
        **dict.fromkeys(("seg_depth_sn_dense", "seg_depth_sn_group_l0_target0.7"), 5),
        **{f"seg_depth_sn_group_l0_target{target}": 1 for target in (0.3, 0.5, 0.85, 0.95)},
    }
    assert study.margin == 1


def test_an_experiment_is_no_study_and_a_study_no_experiment(tmp_path: Path) -> None:
    assert not is_study(ROOT / "config" / "demo.yaml")
    assert is_study(write(tmp_path / "unnamed.yaml", {"base": "base.yaml", "axes": {}}))
    with pytest.raises(ConfigError, match="is a study"):
        load_config(SHIPPED[0])
    with pytest.raises(ConfigError, match="there is no such file"):
        is_study(tmp_path / "gone.yaml")


# Wrong values

WRONG: list[tuple[str, str, list[str]]] = [
    ("lambda: 0", "axes.0.lambda.0", ["0 is not valid", "a number above 0", "group_sparsity: false"]),
    ("lambda: [1e-4, -1]", "axes.0.lambda.1", ["-1 is not valid", "a number above 0"]),
    ("lambda: [x]", "axes.0.lambda.0", ["'x'", "expected a number"]),
    ("lambda: .inf", "axes.0.lambda.0", ["inf", "a finite number"]),
    ("target_sparsity: 70", "axes.0.target_sparsity.0", ["70", "< 1", "a share, not a percentage: 0.7"]),
    ("target_sparsity: [0.5, 70%]", "axes.0.target_sparsity.1", ["'70%'", "a share, not a percentage: 0.7"]),
    ("target_sparsity: []", "axes.0.target_sparsity", ["[] is too short"]),
    ("penalty: lasso", "axes.0.penalty.0", ["'lasso'", "did you mean 'l1_l2'?"]),
    ("group_sparsity: sometimes", "axes.0.group_sparsity.0", ["'sometimes'", "true or false"]),
    ("setup: single", "axes.0.setup.0", ["'single'", "did you mean 'singletask'?"]),
    ("trials: 0", "axes.0.trials", ["0 is not valid", ">= 1"]),
    ("variant: a/b", "axes.0.variant", ["'a/b'", "letters, digits and . + -"]),
    (f"variant: {'a' * 61}", "axes.0.variant", ["is too long", "at most 60 characters"]),
    ("set: [1]", "axes.0.set", ["[1]", "keys with values"]),
    ("lamda: 1", "axes.0.lamda", ["unknown key", "did you mean 'lambda'?"]),
    ("epochs: 3", "axes.0.epochs", ["is a key of the experiment", "axes.0.set"]),
    ("tasks: []", "axes.0.tasks", ["[]", "expected singles, pairs, all, a list of tasks"]),
    ("tasks: [[]]", "axes.0.tasks.0", ["[] is too short"]),
    (
        "tasks: [all, depth_euclidean]",
        "axes.0.tasks",
        ["['all', 'depth_euclidean']", "a list of their own ([depth_euclidean])"],
    ),
    ("tasks: [[all, depth_euclidean]]", "axes.0.tasks", ["all is a set of its own", "beside the list"]),
    ("tasks: single", "axes.0.tasks", ["unknown task 'single'", "did you mean 'singles'?"]),
    ("tasks: [[depth_euclidean, depth_euclidean]]", "axes.0.tasks", ["names a task twice"]),
    ("tasks: 3", "axes.0.tasks.0", ["3", "a list in brackets"]),
    ("tasks: ''", "axes.0.tasks.0.0", ["''", "some text"]),
    ("lambda: 1e-4, target_sparsity: 0.5", "axes.0", ["lambda contradicts target_sparsity", "two grids"]),
    ("group_sparsity: false, lambda: 1e-4", "axes.0", ["lambda is for sparse runs", "remove lambda", "group_sparsity"]),
    ("group_sparsity: false, penalty: group_mcp", "axes.0", ["penalty is for sparse runs"]),
    ("set: {seed: 3}", "axes.0.set.seed", ["paired", "the study's set"]),
    ("set: {epochs: 3, epochs.more: 1}", "axes.0.set.epochs.more", ["no keys below epochs, it holds one value"]),
    ("set: {splits: {train: {a: 1}}}", "splits.train", ["{a: 1}", "text"]),
    ("set: {epohcs: 3}", "epohcs", ["unknown key", "did you mean 'epochs'?"]),
]


@pytest.mark.parametrize(("line", "key", "said"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_wrong_value_of_a_grid_is_named_with_what_was_expected(line: str, key: str, said: list[str], tmp_path: Path) -> None:
    problem = problem_of(study_file(tmp_path, yaml.safe_load(f"{{{line}}}")))
    assert problem.startswith(f"{key}: ")
    for part in said:
        assert part in problem
    assert not JARGON.search(problem.replace("axes.0.float", ""))


OF_THE_STUDY: list[tuple[dict[str, Any], list[str]]] = [
    ({"study": "a/b"}, ["study: 'a/b' is not valid", "a name for folders"]),
    ({"base": None}, ["base: null is not valid", "text"]),
    ({"base": "~nobody-of-this-name/base.yaml"}, ["base: ", "no home folder"]),
    ({"folder": "~nobody-of-this-name"}, ["folder: ", "no home folder"]),
    ({"trials": 0}, ["trials: 0 is not valid", ">= 1"]),
    ({"margin": -1}, ["margin: -1 is not valid", ">= 0"]),
    ({"margin": float("nan")}, ["margin: nan", "a finite number"]),
    ({"set": None}, ["set: null", "keys with values"]),
    ({"axis": {}}, ["axis: unknown key", "did you mean 'axes'?"]),
    ({"lambda": 1e-4}, ["lambda: unknown key", "it belongs into axes"]),
    ({"epochs": 3}, ["epochs: is a key of the experiment; here it belongs into set"]),
    ({"num_trials": 3}, ["num_trials cannot be given in a study", "trials=<number>"]),
    ({"base": "study.yaml"}, ["base: study.yaml is a study itself", "an experiment's file"]),
    ({"base": "gone.yaml"}, ["base: ", "gone.yaml: there is no such file; beside it: ", "base.yaml"]),
]


@pytest.mark.parametrize(("values", "said"), OF_THE_STUDY, ids=str)
def test_a_wrong_value_of_the_study_is_named(values: dict[Any, Any], said: list[str], tmp_path: Path) -> None:
    path = study_file(tmp_path, {"tasks": "all"})
    write(path, {**yaml.safe_load(path.read_text(encoding="utf-8")), **values})
    problem = problem_of(path)
    for part in said:
        assert part in problem


@pytest.mark.parametrize(
    ("axes", "key"), [([], "axes"), (None, "axes"), (3, "axes.0"), ([{}, "all"], "axes.1"), ([[{}]], "axes.0")], ids=str
)
def test_axes_are_a_grid_or_several(axes: Any, key: str, tmp_path: Path) -> None:
    assert problem_of(study_file(tmp_path, axes)).startswith(f"{key}: ")


def test_what_is_missing_says_what_it_is_for(tmp_path: Path) -> None:
    problems = problems_of(write(tmp_path / "study.yaml", {"trials": 3}))
    assert [problem.split(":")[0] for problem in problems] == ["study", "base", "axes"]
    assert all("is missing; expected: " in problem for problem in problems)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    path = study_file(tmp_path, [{"lambda": 0, "epochs": 3}, {"tasks": [["all", "x"]]}], trials=0, num_trials=3)
    keys = {problem.split(":")[0].split(" ")[0] for problem in problems_of(path, "axes=3", "epochs")}
    assert keys == {"trials", "file", "override", "axes.0.lambda.0", "axes.0.epochs", "axes.1.tasks"}
    path = study_file(tmp_path, {"set": {"seed": 3, "epochs": 3, "epochs.x": 1}}, set={"setup": "multitask"})
    write(path, path.read_text(encoding="utf-8").replace("base.yaml", "gone.yaml"))
    keys = {problem.split(":")[0].split(" ")[0] for problem in problems_of(path, "num_trials=3")}
    assert keys == {"set", "base", "axes.0.set.seed", "axes.0.set.epochs.x", "override"}


def test_a_base_that_is_wrong_is_named_with_all_that_is_wrong(tmp_path: Path) -> None:
    path = study_file(tmp_path, {}, base={"epochs": -1, "epohcs": 3})
    with pytest.raises(ConfigError, match=r"study\.yaml: axes\.0 with the base base\.yaml: 2 problems"):
        load_study(path)
    assert [problem.split(":")[0] for problem in problems_of(path)] == ["epochs", "epohcs"]
    write(tmp_path / "base.yaml", "- a")
    assert "base.yaml: expected 'key: value' lines" in problem_of(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected 'key: value' lines"),
        ("study", "expected 'key: value' lines"),
        ("study: s\nstudy: t", "given twice"),
        ("study: [", "is not valid YAML"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_file_that_is_no_study_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "study.yaml", text)
    for read in (load_study, is_study):
        with pytest.raises(ConfigError, match=r"study\.yaml: ") as caught:
            read(path)
        assert said in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


# What the study decides, and overrides


@pytest.mark.parametrize("key", DECIDED)
def test_what_the_study_decides_cannot_be_given(key: str, tmp_path: Path) -> None:
    section: Any = 1
    for name in reversed(key.split(".")):
        section = {name: section}
    for changes in ({key: 1}, section):
        said = f"{key} cannot be given in a study: {DECIDED[key]}"
        assert problem_of(study_file(tmp_path, {"set": changes})) == f"axes.0.set: {said}"
        assert problem_of(study_file(tmp_path, {}, set=changes)) == f"set: {said}"
    value = yaml.safe_dump(section[key.split(".")[0]], default_flow_style=True).removesuffix("...\n").strip()
    for override in (f"{key}=1", f"{key.split('.')[0]}={value}"):
        problem = problem_of(study_file(tmp_path, {}), override)
        axis = key in ("setup", "group_sparsity", *TARGETS)
        assert problem.startswith(f"override {override!r}: {key} " + ("is changed in" if axis else "cannot be given in"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epochs", "override 'epochs': expected key=value or key.path=value"),
        ("trials", "override 'trials': expected key=value"),
        ("=3", "override '=3': expected key=value"),
        ("epochs.more=3", "override 'epochs.more=3': 'epochs' holds one value"),
        ("epochs=[", "override 'epochs=[': the value is not valid YAML"),
        ("study=[", "override 'study=[': the value is not valid YAML"),
        ("trails=2", "override 'trails=2': unknown key; did you mean 'trials'?"),
        ("epohcs=3", "epohcs: unknown key (value 3); did you mean 'epochs'?"),
        ("epochs=", "epochs: null is not valid"),
        ("trials=0", "trials: 0 is not valid"),
        ("study=a/b", "study: 'a/b' is not valid"),
        ("folder=", "folder: null is not valid"),
        ("trials.more=3", "override 'trials.more=3': trials.more is changed in the study's file"),
        *((f"{key}=1", f"override '{key}=1': {key} is changed in the study's file; on the command line: study, folder, trials")
          for key in ("axes", "base", "set.epochs", "tasks", "lambda", "penalty", "variant", "target_sparsity")),
    ],
)  # fmt: skip
def test_a_wrong_override_is_quoted(override: str, said: str, tmp_path: Path) -> None:
    path = study_file(tmp_path, {}, base={"splits": {"train": "a"}})
    assert problem_of(path, override).startswith(said)


# How values are put together


def test_merging_by_cases() -> None:
    values: dict[str, Any] = {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "f": 4, "g": None}
    changes = {"a": {"c.d": 5, "c": {"x": 6}}, "f": [7], "g.h": 8, "new.key": 9, "other": {"p.q": 10}}
    before = copy.deepcopy(changes)
    assert merge(values, changes) == []
    assert values == {
        "a": {"b": 1, "c": {"d": 5, "e": 3, "x": 6}},
        "f": [7],
        "g": {"h": 8},
        "new": {"key": 9},
        "other": {"p": {"q": 10}},
    }
    values["f"].append(0)
    values["other"]["p"]["q"] = 0
    assert changes == before, "the file's own values stay what they are"
    assert merge(values, {"a": {}, "f": {"now": "a section"}}) == []
    assert (values["a"], values["f"]) == ({}, {"now": "a section"})
    assert merge(values, {"g.h.i": 1, "f.now.deep.er": 2}, "axes.3.set") == [
        "axes.3.set.g.h.i: there are no keys below h, it holds one value",
        "axes.3.set.f.now.deep.er: there are no keys below now, it holds one value",
    ]


def test_the_values_of_each_grid_are_its_own(tmp_path: Path) -> None:
    path = study_file(tmp_path, [{"set": {"optimizer_params.eps": 1}}, {}], set={"splits": {"val": "x"}})
    study, grids = load_study_file(path, ["epochs=4", "margin=3"])
    assert isinstance(study, StudyFile)
    assert study.margin == 3
    assert [grid["optimizer_params"] for grid in grids] == [
        {"learning_rate": 1e-3, "weight_decay": 0.5, "eps": 1},
        {"learning_rate": 1e-3, "weight_decay": 0.5},
    ]
    assert [(grid["epochs"], grid["splits"]) for grid in grids] == [(4, {"val": "x"})] * 2
    assert "margin" not in grids[0]


# Studies as users break them

EXAMPLES = {
    path.name: (
        yaml.safe_load(path.read_text(encoding="utf-8")),
        yaml.safe_load((path.parent / yaml.safe_load(path.read_text(encoding="utf-8"))["base"]).read_text(encoding="utf-8")),
    )
    for path in SHIPPED
}
FITTING: list[dict[str, Any]] = [
    {"tasks": "pairs", "group_sparsity": False},
    {"tasks": ["singles", ["depth_euclidean", "segmentsemantic"]], "lambda": ["1e-4", 0.1], "trials": 2},
    {"setup": ["singletask", "multitask"], "penalty": "group_mcp", "target_sparsity": [0.2, 0.4], "variant": "b"},
    {"group_sparsity": True, "set": {"sparsity_until": 0.5, "optimizer_params": {}}, "variant": "c"},
    {"set": {"loss_weights": None, "splits.val": None}, "variant": "d"},
]
OVERRIDES = ["epochs=", "trials=2", "study=x y", "folder=/a/b", "lambda=1", "bb_optimizer_params.lambda={value: 1, warmup: 2}"]


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((*before, key), *places(item, (*before, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Any, Any, list[str]]:
    """A study with one to four changes, its base with at most one, and overrides."""
    study, base = copy.deepcopy(EXAMPLES[draw(st.sampled_from(sorted(EXAMPLES)))])
    # The large ones are the same with fewer grids.
    study["axes"] = draw(st.lists(st.sampled_from([*study["axes"][-2:], *FITTING]), min_size=1, max_size=2).map(copy.deepcopy))
    overrides = []
    for _ in range(draw(st.integers(0, 4))):
        raw = base if draw(st.integers(0, 5)) == 0 else study
        paths = places(raw)
        if not paths:
            continue
        *above, key = draw(st.sampled_from(paths))
        parent = raw
        for name in above:
            parent = parent[name]
        what = draw(st.sampled_from(["junk", "junk", "remove", "misspell", "wrap", "repeat", "override", "set"]))
        if what == "junk":
            parent[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        elif what == "remove":
            del parent[key]
        elif what == "misspell" and isinstance(key, str) and key:
            parent[misspelled(draw, key)] = parent.pop(key)
        elif what == "wrap":
            parent[key] = draw(st.sampled_from([[parent[key]], [[parent[key]]], {"a": parent[key]}, str(parent[key])]))
        elif what == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif what == "override":
            overrides.append(draw(st.sampled_from([*OVERRIDES, f"{key}={draw(st.sampled_from(JUNK[:60]))}"])))
        elif what == "set":
            name = draw(st.sampled_from(["a", "epochs", "splits.x", *DECIDED]))
            study["set"] = {name: copy.deepcopy(draw(st.sampled_from(JUNK)))}
    return study, base, overrides


def check_study(study: Study) -> None:
    """A study that was not refused can be run, and read again."""
    names = [setting.name for setting in study.settings]
    assert len(set(names)) == len(names) > 0
    assert all(re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,230}", name, flags=re.ASCII) for name in names)
    assert len({setting.config.seed for setting in study.settings}) == 1
    for setting in study.settings:
        identity = setting.identity()
        assert setting.trials >= 1
        assert (identity["lambda"] is None) == (identity["target_sparsity"] is not None or not setting.sparse)
        assert identity["lambda"] is None or identity["lambda"] > 0
    assert study_from_values(study_values(study), study.folder) == study


def test_a_broken_study_is_refused_in_words_or_can_be_run(tmp_path: Path) -> None:
    outcomes = {"loaded": 0, "refused": 0}

    @settings(max_examples=200, suppress_health_check=UNCHECKED)
    @given(mutated())
    def every(case: tuple[Any, Any, list[str]]) -> None:
        raw, base, overrides = case
        note(f"{raw} {overrides}")
        path = write(tmp_path / "study.yaml", raw)
        if isinstance(raw, dict) and isinstance(raw.get("base"), str) and re.fullmatch(r"\w+\.yaml", raw["base"]):
            write(tmp_path / raw["base"], base)
        try:
            study = load_study(path, overrides)
        except ConfigError as error:
            outcomes["refused"] += 1
            message = str(error).replace(str(tmp_path), "")
            assert "study.yaml" in message
            quoted = r"override ['\"].*?['\"]: |'[^']*'|\"[^\"]*\"|\[.*?\]|\{.*?\}|[\w.]*__[\w.]*"
            for line in message.splitlines():
                assert len(line) < 6000
                assert not JARGON.search(re.sub(quoted, "", line.partition(": ")[2])), line
        else:
            outcomes["loaded"] += 1
            check_study(study)

    every()
    assert min(outcomes.values()) >= 50, "both ways have to be seen"
