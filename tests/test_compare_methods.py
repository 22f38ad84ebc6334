"""The comparison with methods of others: each ends at the multiply-adds that are asked for; ours minus theirs has its sign."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import methods
from benchmarks.compare_methods import dense_config, table
from benchmarks.methods import TOLERANCE, Peer, Schedule, layer_safe_magnitude, macs_of, own_architecture, thin
from benchmarks.study_rows import digest
from models import build_model, plan_removal
from optim.groups import grouped_weights
from study.plan import Study, load_study
from tests.narrow import resnet18_narrow
from tests.small import make_trial
from utils.errors import ConfigError

STUDY = """
study: peers
base: {base}
set: {{input_shape: 64, epochs: 6}}
trials: 2
axes:
  - {{tasks: all, group_sparsity: [false, true], target_sparsity: 0.7}}
"""


@pytest.fixture(autouse=True)
def narrow() -> Iterator[None]:
    """Make ``resnet18`` narrow for each of these tests, and for no others."""
    with resnet18_narrow():
        yield


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Load a study of a dense and a sparse setting."""
    base = Path(methods.__file__).parents[1] / "config" / "nyu_small.yaml"
    (tmp_path / "study.yaml").write_text(STUDY.format(base=base))
    return load_study(tmp_path / "study.yaml", [f"data_dir_NYU={tmp_path}"])


def peer_of(study: Study, tmp_path: Path, share: float) -> Peer:
    """Make a peer that is to keep a share of the multiply-adds."""
    trial = make_trial(dense_config(study).with_values(checkpoint_folder=str(tmp_path)))
    return Peer(trial, share * macs_of(trial.model, trial.config), None, 4)


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_a_thinner_network_has_the_multiply_adds_and_new_weights(
    study: Study, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "TOLERANCE", 0.05)  # layers of few channels have few widths
    peer = peer_of(study, tmp_path, share)
    before = next(iter(grouped_weights(peer.trial.model.backbone)))[1].clone()
    thin(peer)
    assert 0.95 * peer.goal < peer.macs <= peer.goal
    widths = {name: weight.shape[1] for name, weight in grouped_weights(peer.trial.model.backbone)}
    dense = dict(grouped_weights(build_model(peer.trial.config).backbone))
    shares = [widths[name] / weight.shape[1] for name, weight in dense.items() if weight.shape[1] > 8]
    assert max(shares) - min(shares) < 0.1, "all layers alike"
    assert not torch.equal(next(iter(grouped_weights(peer.trial.model.backbone)))[1], before[:, : before.shape[1]])


def test_a_network_that_cannot_be_thin_enough_is_refused_before_it_is_trained(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--macs: thin makes a network of .* GMACs; .* are asked for, to 2%"):
        thin(peer_of(study, tmp_path, 1e-4))


def test_the_architecture_of_another_trial_has_its_channels(study: Study, tmp_path: Path) -> None:
    peer = peer_of(study, tmp_path, 0.5)
    with pytest.raises(ConfigError, match="--like FOLDER"):
        own_architecture(peer)
    other = build_model(peer.trial.config)
    with torch.no_grad():
        for _, weight in grouped_weights(other.backbone):
            weight[:, torch.randperm(weight.shape[1])[: weight.shape[1] // 2]] = 0
    peer.removal, costs = plan_removal(other), peer.trial.costs
    own_architecture(peer)
    assert peer.macs == costs.of(peer.removal) < macs_of(other, peer.trial.config)


def test_magnitude_relative_to_the_layer_prunes_in_steps_and_empties_no_layer(study: Study, tmp_path: Path) -> None:
    peer = peer_of(study, tmp_path, 0.6)
    schedule, between = Schedule.early(peer), layer_safe_magnitude(peer)
    dense = peer.macs
    for peer.trial.epoch in range(6):
        between(peer)
        wanted = schedule.wanted(peer.trial.epoch) if peer.trial.epoch in schedule.epochs else dense
        assert peer.macs <= wanted or peer.trial.epoch > schedule.epochs[-1]
    assert peer.macs == pytest.approx(peer.goal, rel=TOLERANCE)
    peer.trial.gather()
    assert all(weight.abs().sum() > 0 for _, weight in grouped_weights(peer.trial.model.backbone))


def row(setting: str, known: str, seed: int, miou: float, gmacs: float) -> dict[str, Any]:
    """Make a row of a file of rows; depth and normals are alike in all, and validation is like test."""
    metrics = {"segmentsemantic_mIoU": miou, "depth_euclidean_abs_err": 0.1, "surface_normal_mean_cosine": 0.7}
    metrics |= {f"val_{name}": value for name, value in metrics.items()}
    numbers = {"seed": seed, "compact_GMACs": gmacs, "training_TMACs": 1, **metrics}
    return {"setting": setting, "digest": known, **{name: str(value) for name, value in numbers.items()}}


def test_ours_minus_theirs_is_paired_by_seed(study: Study) -> None:
    dense, sparse = (digest(setting.config) for setting in study.settings)
    name = study.settings[1].name
    others = [row("dense", dense, seed, 0.10, 1.0) for seed in (0, 1)] + [row(name, sparse, seed, 0.09, 0.2) for seed in (0, 1)]
    known = f"thin_0.2_{dense}"
    theirs = [row("thin", known, 0, 0.08, 0.2), row("thin", known, 1, 0.06, 0.2), row("thin", known, 7, 0.5, 0.2)]
    theirs.append(row("thin", "thin_0.2_of_another_study", 0, 0.9, 0.2))
    header, _, ours, thinner = (line.strip("| ").split(" | ") for line in table(study, theirs, others).splitlines())
    assert (header[0], ours[0], thinner[:2]) == ("method", name, ["thin", "3"])
    # 10 % of one of three metrics is 3.3 points; theirs are 6.7 and 13.3 below dense
    assert ours[-1].startswith("-3.3")
    assert thinner[-3].startswith("-10.0")
    assert thinner[-2].startswith("+6.7")
    assert thinner[-1] == thinner[-2], "the same numbers on validation"


def test_what_is_compared_is_said_or_asked_for(study: Study) -> None:
    dense, sparse = (digest(setting.config) for setting in study.settings)
    others = [row("dense", dense, 0, 0.10, 1.0), row("sparse", sparse, 0, 0.09, 0.2)]
    theirs = [row("thin", f"thin_0.2_{dense}", 0, 0.08, 0.2), row("thin", f"thin_0.3_{dense}", 0, 0.08, 0.3)]
    with pytest.raises(ConfigError, match=r"--macs: is missing; .* from 0.2 to 0.3 GMACs"):
        table(study, theirs, others)
    assert "| thin | 1 |" in table(study, theirs, others, macs=0.2)
    with pytest.raises(ConfigError, match="--ours: is missing; settings that have one: none"):
        table(study, theirs, others, macs=0.3)
    with pytest.raises(ConfigError, match=rf"--ours: other has no row .* have one: {study.settings[1].name}"):
        table(study, theirs, others, ours="other", macs=0.2)
    copies = [row("own_architecture", f"own_architecture_0.2_{like}_{dense}", 0, 0.08, 0.2) for like in ("a", "b")]
    assert table(study, copies, others).count("own_architecture_0.2_") == 2, "copies of two settings are two methods"
