"""Tasks of Ray do the runs of a study, whatever happens to their processes and machines."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from engine import checkpoint as files
from study.launching import ray_tasks
from study.launching.live_table import LiveTable
from study.launching.ray_tasks import in_ray, missing, parse_resources
from tests.studies import make_study
from tests.study.conftest import TrainedStudy
from tests.study.launching import attempts
from tests.study.running import go
from utils.errors import ConfigError, TrialError, UserError
from utils.locks import holder_note

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("given", [["num_cpus=2", "num_gpus=0.5"], ['{"num_cpus": 2, "num_gpus":', "0.5}"]])
def test_resources_are_read_in_two_forms(given: list[str]) -> None:
    assert parse_resources(given) == {"num_cpus": 2.0, "num_gpus": 0.5}


@pytest.mark.parametrize("given", ["num_cpus", "num_cpus=many", "num_cpus=-1", "=1", "{", '{"num_cpus": null}', '{"a": []}'])
def test_what_is_no_resource(given: str) -> None:
    with pytest.raises(ConfigError, match=r"^--ray_resources: .*; expected name=number"):
        parse_resources([given])


def test_names_that_ray_has_for_itself() -> None:
    with pytest.raises(ConfigError, match=r"^--ray_resources: CPU is written num_cpus$"):
        parse_resources(["CPU=1"])


def test_what_no_machine_has() -> None:
    machines = [{"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0, "fast": 1.0}]
    assert missing({"num_cpus": 2, "num_gpus": 1, "fast": 0.5}, machines) == ""
    assert missing({"num_cpus": 4, "num_gpus": 1}, machines) == "no machine has num_cpus=4, num_gpus=1"


def test_ray_that_is_not_installed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    study = make_study(work)
    with pytest.raises(UserError, match=r"the package ray is not installed; python -m pip install -r requirements-scale\.txt$"):
        next(in_ray(study.runs, study=study))
    assert (ROOT / "requirements-scale.txt").is_file()


@pytest.mark.slow
def test_a_cluster_that_is_not_there(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed (requirements-scale.txt)")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    study = make_study(work)
    with pytest.raises(UserError, match=r"^RAY_ADDRESS: no cluster answers at 127\.0\.0\.1:1 \("):
        next(in_ray(study.runs, study=study))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of a head without cores and two machines of one core, all of them on this machine."""
    pytest.importorskip("ray", reason="ray is not installed (requirements-scale.txt)")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    cluster.shutdown()


def kill_both(study: Any, cluster: Any) -> None:
    """Kill the process of the first run, and the machine of the second, when each has an epoch behind it."""
    for name, of_machine in (("seg_dense_trial_0", False), ("depth_dense_trial_0", True)):
        note = study.folder.parent / f"{name}.pid"
        while not note.exists() or not note.read_text():
            time.sleep(0.1)
        pid = int(note.read_text())
        if of_machine:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            (node,) = (
                node
                for node in cluster.nodes
                if any(info.process.pid == parent for infos in node.all_processes.values() for info in infos)
            )
            cluster.remove_node(node, allow_graceful=False)
        else:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_machine_that_does_not_share_the_locks(cluster: Any, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(work)
    study.folder.mkdir(parents=True)
    monkeypatch.setattr(FileLock, "acquire", lambda self, timeout: None)
    with pytest.raises(TrialError, match=rf"locks do not work there \(a process of {socket.gethostname()} gets one"):
        next(in_ray(study.runs, study=study))


@pytest.mark.slow
def test_ctrl_c_cancels_all_tasks(cluster: Any, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_tasks, "attempt", attempts.wait)
    study = make_study(work)
    study.folder.mkdir(parents=True)

    def training() -> list[str]:
        return [run.name for run in study.runs if holder_note(study.folder, run.name)]

    def interrupted(table: LiveTable) -> None:
        if len(training()) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(LiveTable, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(in_ray(study.runs, study=study))
    assert training() == []
    assert sum((run.folder / "interrupted").exists() for run in study.runs) == 2


@pytest.mark.slow
def test_a_study_survives_the_death_of_a_process_and_of_a_machine(
    cluster: Any, trained_study: TrainedStudy, rooms: Path, work: Path, untimed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_tasks, "attempt", attempts.narrow_hanging_once)
    study = make_study(work, rooms)
    killer = threading.Thread(target=kill_both, args=(study, cluster))
    killer.start()
    outcomes = go(study, work, launcher=partial(in_ray, study=study))
    killer.join()
    assert {outcome.run for outcome in outcomes if outcome.status == "finished"} == set(study.runs), outcomes
    assert len([node for node in cluster.list_all_nodes() if node]) == 2
    for run in study.runs:
        same = trained_study.study.folder / run.name / files.TEST
        assert (run.folder / files.TEST).read_bytes() == same.read_bytes()
        assert (run.folder / files.LOG).read_text().count(" 2/2 ") == 1
