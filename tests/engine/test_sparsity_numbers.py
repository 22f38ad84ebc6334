"""Layers that no image passes any more are named wherever a network is looked at."""

import json
import logging
from pathlib import Path

import pytest
import torch

from datasets import Loaders
from deploy import trial_compaction
from deploy.reevaluation import evaluate_experiment
from deploy.trial_compaction import compact_trial
from engine import checkpoint as files
from engine import load_trial
from engine.experiment import final_test
from engine.sparsity_numbers import dead_layers, warn_of_dead_layers
from engine.tracking import Tracker
from engine.trial import Trial
from tests.models.pruned import convs, tiny
from tests.small import copy_without
from tests.trained import Trained

FIRST, HEAD = "backbone.layer1.0.conv1", "heads.depth_euclidean.0.convs.0.0"


def zeroed(*names: str) -> torch.nn.Module:
    """A network in which some convolutions have no live group."""
    model = tiny()
    with torch.no_grad():
        for name, conv in convs(model).items():
            conv.weight *= not (names == ("all",) and name.startswith("backbone")) and name not in names
    return model


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "live group" in record.getMessage()]


def test_shared_layers_and_those_that_read_the_features_can_be_dead(trained: Trained, caplog: pytest.LogCaptureFixture) -> None:
    model, config = zeroed(FIRST, HEAD), trained.config
    assert dead_layers(tiny()) == []
    assert dead_layers(model) == [FIRST, HEAD]
    warn_of_dead_layers(tiny(), config, "trial 0")
    warn_of_dead_layers(model, config, "trial 0", known=[FIRST, HEAD])
    assert not caplog.records
    warn_of_dead_layers(model, config, "trial 0", known=[HEAD])
    (warning,) = warnings(caplog)
    assert warning.startswith("trial 0: layers without any live group") and f"image: {FIRST}; a lower" in warning
    caplog.clear()
    warn_of_dead_layers(zeroed("all"), config.model_copy(update={"target_sparsity": 0.9}), "trial 0")
    (warning,) = warnings(caplog)
    assert "image: all shared convolutions: backbone.stem" in warning and warning.endswith("a lower target_sparsity keeps them")


@pytest.mark.usefixtures("no_measuring")
def test_every_result_of_a_network_with_a_dead_layer_says_so(
    trained: Trained, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once where the trial is tested, evaluated again, and compacted; in the report too."""
    folder = copy_without(trained.runs / "sparse__trial_0", work / "sparse__trial_0")
    state = files.load_tensors(folder / files.BEST)
    state["model"][f"{FIRST}.weight"].zero_()
    files.save_tensors(folder / files.BEST, state)
    config = load_trial(folder).config
    assert not warnings(caplog), "loading says nothing"
    for network, look in (
        (
            "sparse__trial_0, the network that is tested",
            lambda: final_test(Trial(config, 0, torch.device("cpu"), folder), Tracker(), Loaders(config)),
        ),
        ("trial 0", lambda: evaluate_experiment("sparse_", 1, work, "NYU", out_dir=work / "out")),
        ("sparse__trial_0", lambda: compact_trial(folder)),
    ):
        caplog.clear()
        look()
        (warning,) = warnings(caplog)
        assert warning.startswith(f"{network}: layers without any live group") and FIRST in warning
        assert caplog.records[[record.getMessage() for record in caplog.records].index(warning)].levelno == logging.WARNING
    report = json.loads((folder / f"{trial_compaction.REPORT}.json").read_text())
    assert report["dead_layers"] == dead_layers(load_trial(folder).model)
    assert f"does not depend on the image: `{FIRST}`" in (folder / f"{trial_compaction.REPORT}.md").read_text()
