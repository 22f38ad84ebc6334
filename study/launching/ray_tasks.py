"""Launcher with tasks of Ray, on a cluster or on this machine. Ray is imported here alone, if asked for."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from engine import checkpoint as files
from study.launch import Outcome, attempt, free_device_memory
from study.launching.live_table import SECONDS, LiveTable
from study.launching.processes import PROJECT, STOPPING, logged_to
from study.plan import Run, Study
from utils.errors import ConfigError, UserError
from utils.locks import ORPHAN_SECONDS, check_locks, try_lock

log = logging.getLogger(__name__)

RETRIES = 5
"""Times that Ray begins a task again whose process or machine died."""


def in_ray(runs: Sequence[Run], *, study: Study, resources: Mapping[str, float] | None = None) -> Iterator[Outcome]:
    """Do each run as a task of Ray, which begins it again where its process or its machine dies.

    The cluster is the one that the environment variable ``RAY_ADDRESS`` names, else this machine. Its machines reach the
    study's folder, the data and this project under the paths that they have here.

    Args:
        runs: what is to be done.
        study: that they belong to.
        resources: that a run takes; without ``num_cpus`` a core, without ``num_gpus`` a GPU if the cluster has one.

    Raises:
        UserError: Ray is not installed, the cluster is not there, this machine lacks the resources, or a machine does not share
            the locks of the study's folder.
    """
    ray = load_ray()
    free_device_memory()
    address = os.environ.get("RAY_ADDRESS")
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    _check_address(address)
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address or "local",
            runtime_env={"env_vars": {"PYTHONPATH": path}},
            log_to_driver=False,
            logging_level=logging.WARNING,
            **({} if address else {"include_dashboard": False}),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        who = f"RAY_ADDRESS: no cluster answers at {address}" if address else "--launch ray: Ray does not start on this machine"
        raise UserError(f"{who} ({' '.join(str(error).split()):.300})") from None
    finally:
        signal.signal(signal.SIGTERM, sigterm)  # Ray's own ends the program without a word
    try:
        machines = [node for node in ray.nodes() if node["Alive"]]
        check_locks(study.folder, partial(_try_lock, ray, machines))
        gpus = any(node["Resources"].get("GPU") for node in machines)
        needed = {"num_cpus": 1, **({"num_gpus": 1} if gpus else {}), **(resources or {})}
        lacking = missing(needed, [node["Resources"] for node in machines])
        if lacking and not address:
            raise ConfigError(f"--ray_resources: {lacking}")
        if lacking:
            log.warning("the runs wait until a machine joins the cluster: %s", lacking)
        usual = {name: needed.pop(name) for name in ("num_cpus", "num_gpus", "memory") if name in needed}
        try:
            task = ray.remote(_work).options(max_retries=RETRIES, resources=needed, **usual)
        except ValueError as error:
            raise ConfigError(f"--ray_resources: {error}") from None
        tasks: dict[Run, Any] = {}
        for run in runs:  # those that others need come first
            before = [tasks[other] for other in run.needs.values() if other in tasks]
            tasks[run] = task.remote(attempt, run, Path.cwd(), usual["num_cpus"], *before)
        yield from _collect(ray, {task: run for run, task in tasks.items()}, study)
    finally:
        ray.shutdown()


def _collect(ray: Any, runs: dict[Any, Run], study: Study) -> Iterator[Outcome]:
    """Yield the outcome of each task when it is there; whatever ends this earlier, Ctrl-C too, cancels the others."""
    with LiveTable(study) as table:
        try:
            while runs:
                ended, _ = ray.wait(list(runs), timeout=SECONDS)
                for task in ended:
                    run = runs.pop(task)
                    try:
                        yield Outcome(run, *ray.get(task))
                    except ray.exceptions.RayError as error:
                        said = " ".join(str(error).split())[:300]
                        yield Outcome(run, "failed", f"{type(error).__name__}: {said}; its logs are in {run.folder}")
                table.update()
        finally:
            for task in runs:
                ray.cancel(task)
            if runs:
                ray.wait(list(runs), num_returns=len(runs), timeout=STOPPING)


def _work(attempt: Callable[[Run], Outcome], run: Run, folder: Path, cores: float, *_: tuple[str, str]) -> tuple[str, str]:
    """Be the task of a run, whose end ``attempt`` brings about; return the outcome's status and reason.

    The further arguments are those of the runs that it needs: Ray begins a task when its arguments are there.
    """
    os.chdir(folder)
    torch.set_num_threads(max(1, int(cores)))
    with logged_to(run.folder / files.LAUNCH_LOG):
        # The process of a node that Ray took for dead may be at it for some seconds more.
        end = time.monotonic() + ORPHAN_SECONDS
        outcome = attempt(run)
        while outcome.status == "held" and time.monotonic() < end:
            time.sleep(1.0)
            outcome = attempt(run)
    return outcome.status, outcome.reason


def parse_resources(given: Sequence[str]) -> dict[str, float]:
    """Read resources, given as a JSON object or as ``name=number``.

    Raises:
        ConfigError: they are neither.
    """
    text = " ".join(given)
    try:
        pairs = json.loads(text) if text.startswith("{") else dict(item.split("=", 1) for item in given)
        resources = {str(name): float(value) for name, value in pairs.items()}
    except (ValueError, TypeError):
        resources = {"": -1.0}
    for name in {"CPU", "GPU"} & resources.keys():
        raise ConfigError(f"--ray_resources: {name} is written num_{name.lower()}s")
    if not all(name and value >= 0 for name, value in resources.items()):
        raise ConfigError(f"--ray_resources: {text}; expected name=number, or a JSON object of numbers, such as num_gpus=1")
    return resources


def _check_address(address: str | None) -> None:
    """Refuse ``host:port`` where nobody listens; Ray would try it for some minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "//" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
        except (OSError, OverflowError) as error:
            raise UserError(f"RAY_ADDRESS: no cluster answers at {address} ({error})") from None


def missing(needed: Mapping[str, float], machines: Sequence[Mapping[str, float]]) -> str:
    """Return a sentence about what no machine has, or nothing; a task would wait for it for ever."""
    ours = {"num_cpus": "CPU", "num_gpus": "GPU"}
    for machine in machines:
        if all(value <= machine.get(ours.get(name, name), 0) for name, value in needed.items()):
            return ""
    return f"no machine has {', '.join(f'{name}={value:g}' for name, value in needed.items())}"


def _try_lock(ray: Any, machines: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Have every machine of the cluster try a lock; return what the first one said that could have it."""
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    task = ray.remote(try_lock).options
    tried = [
        task(num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=False)).remote(path.absolute()) for node in machines
    ]
    return next(filter(None, ray.get(tried)), "")


def load_ray() -> Any:
    """Import Ray.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody unless the user says so
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise UserError(
            "--launch ray: the package ray is not installed; python -m pip install -r requirements-scale.txt"
        ) from None
    return ray
