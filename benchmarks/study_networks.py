"""A study's comparison for other networks than the report's: those after the last epoch, or on the validation split.

    python benchmarks/study_networks.py --study results/studies/study_nyu_small --network last
    python benchmarks/study_networks.py --study results/studies/study_nyu_small --split val

The report is of the networks that did best on validation. How that choice matters is seen from the networks of the last epoch;
a setting is to be chosen on the validation split. Every finished run's network is evaluated once (--json keeps what was found).
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True, help="its folder")
    parser.add_argument("--network", choices=("best", "last"), default="best")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--json", type=Path, help="write the metrics of each run into this file, and read there what it has")
    return parser.parse_args()


def main() -> None:
    """Evaluate what is not known yet, and print a table of the settings."""
    args = parse()
    from engine.saved_trial import evaluate_trial, load_trial
    from engine.study.collect import Finished, baseline_of, twin_of
    from engine.study.record import read_record
    from utils import checkpoint as files
    from utils.device import resolve
    from utils.study.labels import fixed, interval
    from utils.study.statistics import delta_mtl, estimate, judge
    from utils.tasks import get_task

    study = read_record(args.study).study
    known = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    runs = []
    for run in (run for run in study.runs if (run.folder / files.TEST).exists()):
        key = f"{run.name} {args.network} {args.split}"
        if key not in known:
            config, device = resolve(run.config)
            saved = load_trial(run.folder, device, files.LAST if args.network == "last" else files.BEST)
            known[key] = evaluate_trial(replace(saved, config=config), config, args.split, device).metrics
            if args.json:
                args.json.write_text(json.dumps(known, indent=1))
        runs.append(Finished(run, run.config.seed + run.trial, {}, known[key]))
    print(f"{study.name}: {args.network} networks, {args.split} split; means, standard deviations, and the paired difference")
    for setting in study.settings:
        mine = {one.seed: one for one in runs if one.run.setting is setting}
        if not mine:
            continue
        found = [
            f"{name} {mean.mean:.4f}" + (f" ± {mean.std:.4f}" if mean.n > 1 else "")
            for task in setting.config.task_list
            for name in (get_task(task).main_metric,)
            for mean in (estimate([one.metrics[task][name] for one in mine.values()]),)
        ]
        baselines = {seed: baseline_of(one, runs) for seed, one in mine.items()}
        deltas = {seed: delta_mtl(mine[seed].metrics, base[0]) for seed, base in baselines.items() if base}
        if deltas and len(setting.config.task_list) > 1:
            mean = estimate(list(deltas.values()))
            found.append(f"delta_MTL {fixed(mean.mean, 2, signed=True)}" + (f" ± {mean.std:.2f}" if mean.n > 1 else ""))
        twin = twin_of(setting, study.settings) if setting.sparse else None
        dense = {one.seed: one for one in runs if one.run.setting is twin}
        differences = [
            delta - delta_mtl(dense[seed].metrics, base[0])
            for seed, delta in deltas.items()
            if seed in dense and (base := baselines[seed])
        ]
        if differences:
            mean = estimate(differences)
            found.append(f"difference {fixed(mean.mean, 2, signed=True)} {interval(mean.low, mean.high)} (n = {mean.n})")
            found.append(judge(mean, study.margin) or "no interval")
        print(f"{setting.name} (n = {len(mine)}): {', '.join(found)}")


if __name__ == "__main__":
    main()
