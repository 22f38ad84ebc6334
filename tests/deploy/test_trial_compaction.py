"""A trial's compact model: equal or not written, measured, reported, exported; and beside the trained one in the tables."""

import functools
import importlib.util
import json
import logging
import math
import runpy
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from filelock import FileLock
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from datasets import build_dataset
from deploy import compact_evaluation, latency, reevaluation, trial_compaction
from deploy.compact_evaluation import compact_is_equal
from deploy.equality import TaskDifference, compare_outputs
from deploy.latency import alternate, time_networks
from deploy.peak_memory import cpu_peaks
from deploy.reevaluation import EvaluationOptions, evaluate_experiment
from deploy.sparsity_plot import figure_title
from deploy.trial_compaction import check_images, compact_trial
from engine import checkpoint as files
from engine import load_trial
from engine.evaluation import Evaluation
from engine.results import result_paths
from models import MultiTaskModel, build_model, compact, fold_batch_norm, load_compact, save_compact
from optim.groups import grouped_weights
from tests.configs import NYU_TASKS, make_config
from tests.equality import equal
from tests.narrow import make_resnet18_usual
from tests.small import copy_without, listing, make_trial, small_config, snapshot
from tests.trained import Trained
from utils.errors import DataError, TrialError, UserError
from utils.files import unfinished

ROOT = Path(__file__).parent.parent.parent
FILES = {"compact.safetensors", "compact_report.json", "compact_report.md", "compact_report.png", "model_card.md"}
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason="onnx, onnxruntime and onnxscript are not all installed",
)


@pytest.fixture
def trial(trained: Trained, work: Path) -> Path:
    """A copy of the folder of a sparse trial."""
    return copy_without(trained.runs / "sparse__trial_0", work / "sparse__trial_0")


def spoil(model: MultiTaskModel, **options: Any) -> Any:
    """``compact``, but one number is wrong."""
    small, report = compact(model, **options)
    with torch.no_grad():
        small.heads["depth_euclidean"][-1].bias += 1
    return small, report


def images(count: int, side: int = 32) -> torch.Tensor:
    """Random, the same on every run."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def randomise_norms(model: nn.Module) -> None:
    """Batch norms that do something, also for an untrained network."""
    torch.manual_seed(0)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)


@pytest.mark.parametrize("backbone", ["resnet18", "resnetd50"])
def test_folded_batch_norm_changes_no_output_and_not_the_model(backbone: str) -> None:
    model = build_model(make_config(backbone=backbone)).double()
    randomise_norms(model)
    before = snapshot(model)
    folded = fold_batch_norm(model)
    assert equal(before, snapshot(model))
    assert model.training
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        for task, expected in model.eval()(images(2).double()).items():
            difference = (folded(images(2).double())[task] - expected).abs().max()
            # the interpolation to the input's size may be in float32
            assert float(difference) <= 1e-6 * float(expected.abs().max())


@pytest.mark.usefixtures("no_measuring", "drawn_runs")
def test_a_trials_compact_model_is_written_with_its_report(trial: Path, trained: Trained) -> None:
    before = set(listing(trial))
    assert compact_trial(trial, images=3)
    assert set(listing(trial)) - before == FILES
    small = load_compact(trial / "compact.safetensors")
    assert small.config is not None
    assert small.config.precision == "fp32"
    source = load_trial(trial)
    with torch.no_grad():
        for task, expected in source.model(images(2)).items():
            assert torch.allclose(small(images(2))[task], expected, rtol=0, atol=1e-5 * float(expected.abs().max()))

    report = json.loads((trial / "compact_report.json").read_text())
    assert report["backbone"]["zero_groups"] == source.sparsity.zero_groups > 0
    assert report["model"]["macs_left"] < report["model"]["macs"]
    assert report["check"]["source"] == "3 of the 5 frames of the test split"
    assert all(difference["equal"] for difference in report["check"]["tasks"].values())
    assert [(row["part"], row["batch"]) for row in report["latency"]] == [
        *(("backbone", 1), ("backbone", 8), ("model", 1), ("model", 8))
    ]
    assert report["file_MB"]["model"]["compact"] < report["file_MB"]["model"]["dense"]
    text = (trial / "compact_report.md").read_text()
    assert all(f"`{layer['layer']}`" in text for layer in report["layers"])
    assert "Semantic segmentation" in text
    with Image.open(trial / "compact_report.png") as picture:
        assert picture.width >= 1200


@pytest.mark.usefixtures("no_measuring")
def test_weights_in_half_precision_take_half_the_space_and_the_card_says_what_they_cost(trial: Path) -> None:
    assert compact_trial(trial, images=3, half=True)
    whole, half = (load_compact(trial / name) for name in ("compact.safetensors", "compact_half.safetensors"))
    assert all(torch.equal(two, one.half().float()) for one, two in zip(whole.parameters(), half.parameters(), strict=True))
    assert (trial / "compact_half.safetensors").stat().st_size < 0.55 * (trial / "compact.safetensors").stat().st_size
    report = json.loads((trial / "compact_report.json").read_text())
    with torch.no_grad():
        for task, expected in load_trial(trial).model(images(2)).items():
            difference = float((half(images(2))[task] - expected).abs().max() / expected.abs().max())
            assert 0 < difference < 10 * report["half"]["difference"] < 0.1
    card = (trial / "model_card.md").read_text()
    assert f"at most {report['half']['difference']:.1e} of the largest output" in card
    tested = json.loads((trial / "test.json").read_text())["metrics"]
    assert all(f"{value:.4f}" in card for values in tested.values() for value in values.values())


@pytest.mark.usefixtures("no_measuring")
@pytest.mark.parametrize(
    ("terms", "said"), [(None, "its authors state no licence"), ("My frames; CC0", "My frames; CC0. The weights")]
)
def test_the_card_says_on_which_terms_the_data_may_be_used(trial: Path, terms: str | None, said: str) -> None:
    config = load_trial(trial).config.with_values(data_terms=terms)
    config.save(trial / "config_file.yaml")
    (trial / "test.json").unlink()
    assert compact_trial(trial, images=1)
    card = (trial / "model_card.md").read_text()
    assert said in card
    assert "It was not tested" in card


@pytest.mark.usefixtures("no_measuring")
def test_drawn_frames_are_called_so_in_the_figure_and_in_the_card(trial: Path, work: Path) -> None:
    (work / "manifest.json").write_text(json.dumps({"recipe": {"kind": "synthetic-nyu"}}))
    config = load_trial(trial).config.with_values(data_dir_NYU=str(work))
    config.save(trial / "config_file.yaml")
    assert figure_title(load_trial(trial)).startswith("Synthetic rooms: ")
    assert compact_trial(trial, images=1)
    assert "Synthetic rooms that prepare\\_data.py draws; MIT" in (trial / "model_card.md").read_text()
    (work / "manifest.json").unlink()
    assert figure_title(load_trial(trial)).startswith("NYU-v2: ")


@pytest.mark.usefixtures("no_measuring")
@pytest.mark.parametrize(("shares", "doubtful"), [((0.1, 0.4), True), ((0.4, 0.1), True), ((0.1, 0.1), False)])
def test_a_machine_that_was_busy_before_or_after_is_named_beside_the_times(
    trial: Path, shares: Sequence[float], doubtful: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trial_compaction, "others_share", functools.partial(next, iter(shares)))
    titles = []
    monkeypatch.setattr(trial_compaction, "compaction_figure", lambda layers, report, title: titles.append(title) or Figure())
    assert compact_trial(trial, images=1)
    said = "times are doubtful, as other processes took 40 % of the machine's CPU time"
    texts = [(trial / name).read_text() for name in ("compact_report.md", "model_card.md")]
    assert [said in text for text in (*texts, *titles, capsys.readouterr().out)] == [doubtful] * 4


@pytest.mark.usefixtures("no_measuring")
def test_what_a_killed_compaction_left_goes_and_two_do_not_meet(trial: Path) -> None:
    before = listing(trial)
    left = unfinished(trial / "compact")
    left.mkdir()
    (left / "compact.safetensors").touch()
    (trial / ".compact.lock").touch()
    with FileLock(trial / ".compact.lock"), pytest.raises(TrialError, match="another process is compacting this trial"):
        compact_trial(trial, images=1)
    assert left.is_dir()
    assert compact_trial(trial, images=1)
    assert {*listing(trial)} == {*before, *FILES}


@pytest.mark.usefixtures("no_measuring")
def test_a_dense_twin_of_the_same_seed_stands_beside_what_it_lost(trial: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_trial(trial).config.with_values(checkpoint_folder=str(trial.parent))
    config.save(trial / "config_file.yaml")
    twin = copy_without(trial, trial.parent / "dense_trial_0")
    config.with_values(group_sparsity=False, Experiment_name="dense").save(twin / "config_file.yaml")
    tested = json.loads((twin / "test.json").read_text())
    tested["row"] |= {"segmentsemantic_mIoU": 0.4321}
    for seed, there in ((tested["row"]["seed"] + 1, False), (tested["row"]["seed"], True)):
        tested["row"]["seed"] = seed
        (twin / "test.json").write_text(json.dumps(tested))
        assert compact_trial(trial, images=1)
        assert (trial / "dense_sparse_compact.png").is_file() is there
        assert ("Dense, sparse, compact" in capsys.readouterr().out) is there
    (metric, *_) = json.loads((trial / "compact_report.json").read_text())["twin"]["metrics"]
    own = json.loads((trial / "test.json").read_text())["row"]["segmentsemantic_mIoU"]
    assert (metric["dense"], metric["sparse"]) == (0.4321, own)
    (twin / "test.json").unlink()
    assert compact_trial(trial, images=1)
    assert not (trial / "dense_sparse_compact.png").exists(), "of a twin that is gone"


@pytest.mark.usefixtures("no_measuring")
def test_files_of_an_earlier_run_are_replaced(trial: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (*FILES, "compact.onnx"):
        (trial / name).write_text("old")
    before = set(listing(trial))
    assert compact_trial(trial, images=1)
    assert set(listing(trial)) == before, "nothing half-written"
    assert all((trial / name).read_bytes() != b"old" for name in FILES)
    assert "compact.onnx is of an earlier run" in caplog.text


@pytest.mark.usefixtures("no_measuring")
def test_a_model_that_is_not_equal_is_not_written(
    trial: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trial_compaction, "compact", spoil)
    before = listing(trial)
    assert not compact_trial(trial, images=1)
    assert listing(trial) == before
    assert "NOT equal to the trained one on 1 of the 5 frames of the test split: depth_euclidean differs by" in caplog.text
    assert "Nothing is written" in caplog.text


def test_images_are_random_where_the_data_set_is_not_there(
    trained: Trained, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    trial = load_trial(trained.runs / "sparse__trial_0")
    photos, source = check_images(trial, 2)
    assert torch.equal(photos[1], build_dataset(trial.config, "test")[2]["image"])
    assert source == "2 of the 5 frames of the test split"
    with pytest.raises(DataError, match="is no folder"):
        check_images(trial, 2, work / "nowhere")
    shutil.copytree(trial.folder, work / "moved")
    text = (work / "moved" / "config_file.yaml").read_text()
    for gone in ("nowhere", "$NOWHERE/rooms"):
        (work / "moved" / "config_file.yaml").write_text(text.replace(str(trial.config.data_dir_NYU), gone))
        photos, source = check_images(load_trial(work / "moved"), 2)
        assert photos.shape == (2, 3, 32, 32)
        assert source == "2 random images (uniform, seed 0)"


@pytest.mark.parametrize(
    ("difference", "dense_error", "equal"),
    [
        (0.0, 0.0, True),
        (1e-4, 0.0, True),
        (1.1e-4, 0.0, False),
        (1.1e-4, 1e-4, True),
        (5e-4, 1e-4, False),
        (math.nan, 1.0, False),
    ],
)
def test_what_counts_as_equal(difference: float, dense_error: float, equal: bool) -> None:
    """Outputs up to 10: 1e-5 of that, or 4 times the dense network's own error, whichever is more."""
    measured = TaskDifference()
    exact = torch.tensor([[10.0], [1.0]], dtype=torch.float64)
    dense = exact + torch.tensor([[0.0], [dense_error]])
    measured.add(dense, dense + torch.tensor([[0.0], [difference]]), exact, labels=False)
    assert measured.equal == equal
    measured.add(exact, exact, exact, labels=False)
    assert measured.equal == equal, "a later batch does not mend it"


@pytest.mark.parametrize(("value", "share"), [(math.nan, 1), (math.inf, 9)])
def test_outputs_that_are_not_finite_prove_nothing(value: float, share: int) -> None:
    difference = TaskDifference()
    dense = torch.arange(1.0, 10.0)[None]
    dense[:, :share] = value
    difference.add(dense, dense, dense.double(), labels=False)
    assert not difference.equal
    assert difference.obstacle == f"{share} of the trained network's 9 outputs are not finite (NaN or infinity)"
    assert not difference.numbers()["equal"]


@pytest.mark.parametrize("batches", [[], [torch.zeros(0, 3, 32, 32)], [torch.zeros(2, 3, 32, 32)], [torch.ones(1, 3, 32, 32)]])
def test_images_that_say_nothing_prove_nothing(batches: list[torch.Tensor]) -> None:
    """Even two networks whose backbones differ in every weight are equal on them, if they have no biases."""
    config = make_config(task_list=NYU_TASKS)
    model = build_model(config).eval()
    differences = compare_outputs(model, model, config.tasks.values(), batches)
    assert list(differences) == list(NYU_TASKS)
    assert not any(difference.equal for difference in differences.values())
    compared = compare_outputs(model, model, config.tasks.values(), [*batches, images(1)])
    assert all(difference.equal for difference in compared.values())


@pytest.mark.usefixtures("no_measuring")
def test_a_network_that_says_nan_has_no_compact_model(trial: Path, caplog: pytest.LogCaptureFixture) -> None:
    _spoil_checkpoint(trial)
    before = listing(trial)
    assert not compact_trial(trial, images=1)
    assert listing(trial) == before
    assert "nothing proves that the compact model is equal (1 of the 5 frames" in caplog.text
    assert "depth_euclidean: 1024 of the trained network's 1024 outputs are not finite" in caplog.text


def _spoil_checkpoint(trial: Path) -> None:
    """The depth head's last bias becomes NaN."""
    state = torch.load(trial / "checkpoint.pt", weights_only=True)
    state["model"]["heads.depth_euclidean.4.bias"].fill_(math.nan)
    torch.save(state, trial / "checkpoint.pt")


def test_an_evaluation_of_a_network_that_says_nan_proves_nothing(
    trial: Path, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _spoil_checkpoint(trial)
    monkeypatch.setattr(compact_evaluation, "costs", lambda *_: {})
    table = evaluate_experiment("sparse_", 1, work, "NYU", work / "out", EvaluationOptions(compact=True))
    assert not any(map(compact_is_equal, table.to_dict("records")))
    assert "nothing proves that the compact model is equal to the trained one, whose outputs are not finite" in caplog.text


def test_differences_are_counted_over_all_batches() -> None:
    config = make_config(task_list=NYU_TASKS)
    model = build_model(config).eval()
    other, _ = compact(model)
    with torch.no_grad():
        other.heads["segmentsemantic"][-1].bias[7] += 1000.0
    differences = compare_outputs(model, other, config.tasks.values(), images(3).split(2))
    segmentation = differences["segmentsemantic"]
    assert segmentation.pixels == segmentation.different == 3 * 32 * 32
    assert segmentation.difference == pytest.approx(1000, rel=1e-3)
    assert not segmentation.equal
    assert differences["surface_normal"].equal
    assert differences["surface_normal"].pixels == 0


def test_networks_take_turns_and_slow_ones_stop_early(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "ABC"}
    monkeypatch.setattr(latency, "TURN", 0.0)
    times, rounds = alternate(runs, "")
    assert rounds == latency.MOST
    assert "".join(calls) == "AABBCC" * rounds, "each time one pass to warm up"
    assert list(times) == list("ABC")
    monkeypatch.setattr(latency, "SHORT", 0.0)
    assert alternate(runs, "")[1] == latency.ENOUGH
    monkeypatch.setattr(latency, "PATIENCE", 0.0)
    assert alternate(runs, "")[1] == latency.FEWEST


def test_a_turn_is_the_median_of_passes_with_warm_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that only the runs move: a's passes are slow after b's, and every fifth one is."""
    clock, calls = [0.0], []

    def a() -> None:
        cold = not calls or calls[-1] == "b" or calls.count("a") % 5 == 0
        clock[0] += 0.009 if cold else 0.004
        calls.append("a")

    def b() -> None:
        clock[0] += 0.03
        calls.append("b")

    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    times, _ = alternate({"a": a, "b": b}, "")
    assert times == pytest.approx({"a": 4.0, "b": 30.0})
    first = calls[: calls.index("b")]
    assert 1000 * 0.004 * (len(first) - 1) >= latency.TURN - 9.0, "passes for as long as a turn takes"
    assert calls[len(first) : len(first) + 3] == ["b", "b", "a"], "one pass at least is timed"


def test_each_network_runs_in_its_faster_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that only the layout of the images moves."""
    clock = [0.0]
    seen: list[bool] = []

    class Slow(nn.Module):
        def __init__(self, last: float, first: float) -> None:
            super().__init__()
            self.last, self.first = last, first

        def forward(self, x: torch.Tensor) -> None:
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            clock[0] += self.last if seen[-1] else self.first

    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    timing = time_networks({"a": Slow(0.001, 0.002), "b": Slow(0.005, 0.003)}, images(2), "")
    assert timing.layouts == {"a": "channels_last", "b": "contiguous"}
    assert timing.milliseconds == pytest.approx({"a": 1.0, "b": 3.0})
    assert seen[-2:] == [False, False], "b's last turn"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell a process's peak memory")
def test_memory_counts_the_weights_and_grows_with_the_batch(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network of the usual width, half of whose groups are zero: another process builds it. The compact one holds its
    weights twice, as parameters and packed for its kernel, and not its file nor what packing them took."""
    make_resnet18_usual(monkeypatch)
    untrained = make_trial(small_config(Path("nowhere"), work))
    with torch.no_grad():
        for _, weight in grouped_weights(untrained.model.backbone):
            weight[:, weight.shape[1] // 2 + 1 :] = 0
    trial = untrained.folder
    untrained.config.save(trial / files.CONFIG)
    files.save_tensors(trial / files.BEST, untrained.best_state(None))
    source = load_trial(trial)
    small, _ = compact(source.model)
    save_compact(small, trial / "compact.safetensors", source.config)
    layouts = {"dense": "contiguous", "compact": "channels_last"}
    single, many = (cpu_peaks(layouts, trial, trial / "compact.safetensors", (size, 3, 64, 64)) for size in (1, 16))
    assert single is not None
    assert many is not None
    for name, model in (("dense", source.model), ("compact", small)):
        weights = sum(tensor.nbytes for tensor in model.state_dict().values()) / 1e6
        assert 0.9 * weights < single[name] < weights * 2 + 10
        assert many[name] > single[name] + 5
    assert single["compact"] < single["dense"]


@needs_onnx
@pytest.mark.usefixtures("no_measuring")
def test_the_onnx_file_is_equal_for_any_batch(trial: Path) -> None:
    import onnxruntime

    assert compact_trial(trial, images=2, onnx=True)
    report = json.loads((trial / "compact_report.json").read_text())["onnx"]
    assert report["batches_checked"] == [1, 3]
    for runtime in ("torch.export", "onnxruntime"):
        assert list(report["relative_difference"][runtime]) == list(NYU_TASKS)
        assert max(report["relative_difference"][runtime].values()) <= 1e-4
    assert [(row["batch"], set(row["milliseconds"])) for row in report["latency"]] == [
        *((1, {"folded", "compact"}), (8, {"folded", "compact"}))
    ]
    session = onnxruntime.InferenceSession(trial / "compact.onnx", providers=["CPUExecutionProvider"])
    assert [(entry.name, entry.shape) for entry in session.get_inputs()] == [("images", ["batch", 3, 32, 32])]
    shapes = {entry.name: entry.shape for entry in session.get_outputs()}
    assert shapes == {task: ["batch", channels, 32, 32] for task, channels in zip(NYU_TASKS, (40, 1, 3), strict=True)}
    about = session.get_modelmeta().custom_metadata_map
    tasks = json.loads(about["tasks"])
    assert {name: task["shape"] for name, task in tasks.items()} == shapes
    assert (about["experiment"], about["dataset"]) == ("sparse_", "NYU")
    assert json.loads(about["input"])["colours"] == "RGB"
    with torch.no_grad():
        expected = load_trial(trial).model(images(5))
    for name, array in zip(NYU_TASKS, session.run(None, {"images": images(5).numpy()}), strict=True):
        assert abs(torch.from_numpy(array) - expected[name]).max() <= 1e-4 * expected[name].abs().max()


@needs_onnx
def test_dead_parts_and_attributes_are_exported(work: Path) -> None:
    from deploy.onnx_export import check_export, export_onnx

    config = make_config(dataset_name="celebA", backbone="resnet18")
    torch.manual_seed(0)
    model = build_model(config).eval()
    randomise_norms(model)
    with torch.no_grad():
        for name in ("layer1.0.conv1", "layer1.1.conv2", "layer3.0.downsample.0", "layer4.1.conv1"):
            model.backbone.get_submodule(name).weight.zero_()
        model.backbone.get_submodule("layer2.1.conv1").weight[:, ::2] = 0
    small, _ = compact(model, free_selects=False)
    program = export_onnx(small, work / "faces.onnx", config)
    differences = check_export(model, program, work / "faces.onnx", images(3))
    assert list(differences["onnxruntime"]) == ["segmentsemantic", "class_male", "class_smile"]
    assert max(value for tasks in differences.values() for value in tasks.values()) <= 1e-5


def test_a_missing_package_is_named_before_any_work(trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    before = listing(trial)
    with pytest.raises(UserError, match=r"packages onnx, .* is missing\): pip install -r requirements-export\.txt"):
        compact_trial(trial, onnx=True)
    assert listing(trial) == before


@pytest.fixture(scope="module", params=["trained", "trained_faces"])
def experiment(request: pytest.FixtureRequest) -> Trained:
    """Each of them."""
    return request.getfixturevalue(request.param)


def test_compact_models_have_the_rows_of_the_trained_ones(
    experiment: Trained, work: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "PATIENCE", 0.0)
    config = experiment.config
    options = EvaluationOptions(compact=True)
    table = evaluate_experiment(config.Experiment_name, None, experiment.runs, config.dataset_name, work, options)
    name = f"{config.Experiment_name}_compact"
    assert {path.name for path in work.iterdir()} == {path.name for path in result_paths(work, name)}
    columns = list(experiment.table.columns)
    assert list(table.columns)[: len(columns)] == columns
    pd.testing.assert_frame_equal(table[columns], experiment.table, check_exact=False, rtol=0, atol=1e-4)
    assert (table["largest_metric_difference"] <= 1e-4).all()
    assert (table["share_of_pixels_labelled_differently"] <= 1e-5).all()
    for quantity in ("GMACs", "Mparameters", "file_MB"):
        assert (table[f"compact_{quantity}"] <= table[f"dense_{quantity}"]).all()
        assert (table[f"compact_{quantity}"] > 0).all()
    assert (table[["dense_latency_ms", "folded_latency_ms", "compact_latency_ms"]] > 0).all(axis=None)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("metric", "share", "equal"),
    [
        *((0.0, 0.0, True), (1e-4, 1e-5, True), (1.1e-4, 0.0, False), (0.0, 1.1e-5, False)),
        *((math.nan, 0.0, False), (math.inf, 0.0, False), (0.0, math.nan, False)),
    ],
)
def test_which_rows_say_that_a_compact_model_is_equal(metric: float, share: float, equal: bool) -> None:
    row = {"largest_metric_difference": metric, "share_of_pixels_labelled_differently": share}
    assert compact_is_equal(row) is equal
    assert compact_is_equal({"largest_metric_difference": metric}) is (metric <= 1e-4), "no segmentation"
    assert compact_is_equal({"depth_euclidean_rmse": 7.0}), "nothing was compared"


@pytest.mark.parametrize("script", ["get_outputs.py", "get_out_put_celeb.py"])
def test_the_exit_code_tells_of_a_compact_model_that_is_not_equal(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = runpy.run_path(str(ROOT / script))["main"]
    monkeypatch.setattr(sys, "argv", [script, "--exp_name", "any", "--compact"])
    for differences, code in (([0.0, 1e-5], 0), ([0.0, 0.1], 1)):
        table = pd.DataFrame({"largest_metric_difference": differences})
        monkeypatch.setattr(reevaluation, "evaluate_experiment", lambda *args, table=table, **options: table)
        assert main() == code


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (0.5, 0.5001, 1e-4),
        (40.0, 40.004, 1e-4),
        (math.nan, math.nan, math.nan),
        (math.nan, 0.5, math.inf),
        (0.5, math.nan, math.inf),
    ],
)
def test_metrics_above_1_are_compared_relatively(first: float, second: float, difference: float) -> None:
    evaluations = [Evaluation(losses={}, metrics={"task": {"metric": value}}) for value in (first, second)]
    assert compact_evaluation.largest_difference(*evaluations) == pytest.approx(difference, rel=1e-6, nan_ok=True)
    for evaluation in evaluations:
        evaluation.metrics["other"] = {"metric": 0.5}
    rest = 0.0 if math.isnan(difference) else difference
    assert compact_evaluation.largest_difference(*evaluations) == pytest.approx(rest, rel=1e-6), "one metric has a value"
