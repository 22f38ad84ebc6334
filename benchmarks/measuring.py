"""Tools that the benchmarks share: their options, times of runs that take turns, and the figures at the end."""

import argparse
import json
import time
from collections.abc import Callable, Mapping


def parser(about: str | None) -> argparse.ArgumentParser:
    """Make a parser with the docstring of a benchmark and the option ``--json``."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="end with one line of JSON")
    return made


def now(device: object) -> float:
    """Return the time in seconds, after a GPU has finished its work."""
    if str(device).startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def times_in_turn(
    runs: Mapping[str, Callable[[], object]], device: object, rounds: int, seconds: float = 0.0
) -> dict[str, list[float]]:
    """Return the seconds of each run; the runs take turns, at least ``rounds`` times and for at least ``seconds``."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or min(map(len, times.values())) < rounds:
        for name, run in runs.items():
            before = now(device)
            run()
            times[name].append(now(device) - before)
    return times


def machine() -> str:
    """Return the number of torch's threads and its version, in words."""
    import torch

    return f"{torch.get_num_threads()} threads, torch {torch.__version__}"


def report(title: str, figures: Mapping[str, float], as_json: bool) -> None:
    """Print a title and a line per figure; with ``as_json``, end with one line of JSON."""
    print(title)
    for name, value in figures.items():
        print(f"  {name:{max(map(len, figures))}} {value:10.4f}")
    if as_json:
        print(json.dumps({name: round(value, 6) for name, value in figures.items()}))
