"""Measure what keeping freed memory in the process is worth: one training step with and without it, in turn.

    python benchmarks/bench_allocator.py [--pairs 3] [options of bench_train_step.py]

Every measurement is a process of its own (the setting cannot be undone), in the order A B A B ..., so that a drift of the
machine's speed meets both.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measuring

SCRIPT = Path(__file__).with_name("bench_train_step.py")


def measure(options: list[str]) -> float:
    """Return the seconds of one training step."""
    command = [sys.executable, str(SCRIPT), "--json", *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(output.splitlines()[-1])["total_s"])


def main() -> None:
    """Measure pairs and print the ratio of the medians."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    args, options = parser.parse_known_args()
    kept, default = [], []
    for _ in range(args.pairs):
        kept.append(measure(options))
        default.append(measure([*options, "--default-allocator"]))
    figures = {"kept_s": statistics.median(kept), "default_s": statistics.median(default)}
    figures["speedup"] = figures["default_s"] / figures["kept_s"]
    title = f"one training step, medians of {args.pairs} processes each, {' '.join(options) or 'default options'}"
    measuring.report(title, figures, args.json)


if __name__ == "__main__":
    main()
