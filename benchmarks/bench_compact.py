"""Measure what removed channels are worth: the backbone of a sparse model, compacted, against the dense one.

    python benchmarks/bench_compact.py [--json] [--backbone resnetd50] [--sparsity 0.7] [--trial FOLDER] [--batch 1 8]

Every network is measured in each runtime that is there (eager, torch.compile with frozen weights, onnxruntime; on a GPU the
first two), eager in both memory formats. Networks alternate, so that a machine that slows down slows all of them; medians are
compared. Networks:

    folded   as trained, batch norm folded
    compact  models.compact: eager is the project's own kernel on the CPU ("kernel") or torch operations ("torch")
    pruned   what torch-pruning can remove exactly, batch norm folded (where requirements-benchmarks.txt is installed)
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from benchmarks import measuring
from models import MultiTaskModel, compact
from models.compaction.dense import fold_batch_norm
from models.compaction.report import count_macs
from models.compaction.runner import Runner
from models.resnetd import ResNetD
from optim.groups import grouped_weights
from optim.sparsity import sparsity_report
from utils.cli import TRIAL_FORMS, path_argument

Run = Callable[[], Any]


def random_pattern(backbone: nn.Module, share: float, seed: int) -> None:
    """Each group of each convolution is zero with probability ``share``, the colour channels included; random batch norm."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, weight in grouped_weights(backbone):
            weight[:, torch.rand(weight.shape[1], generator=generator) < share] = 0
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.normal_(1, 0.3, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)


class NoRunner(Runner):
    """Keeps a compact backbone to torch operations."""

    def __deepcopy__(self, memo: dict[int, Any]) -> NoRunner:
        return self

    def can_run(self, backbone: nn.Module, images: Tensor) -> bool:
        """Never."""
        return False


def compiled(network: nn.Module, images: Tensor) -> Run:
    """torch.compile with frozen weights, warmed up."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    torch._dynamo.reset()
    fast = torch.compile(copy.deepcopy(network))
    fast(images)
    return lambda: fast(images)


def in_onnxruntime(network: nn.Module, images: Tensor, folder: str, name: str) -> Run:
    """The exported network, with as many threads as torch has."""
    import onnxruntime

    path = str(Path(folder) / f"{name}-{len(images)}.onnx")
    torch.onnx.export(network, (images.contiguous(),), path, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # A session that spins after its run would slow down whatever is measured next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options)
    feed = {session.get_inputs()[0].name: images.contiguous().numpy()}
    return lambda: session.run(None, feed)


def runtimes(network: nn.Module, torch_network: nn.Module, images: Tensor, folder: str, name: str) -> dict[str, Run]:
    """The network in every runtime: ``network`` eager, ``torch_network`` (the same without the kernel) elsewhere."""
    last = images.contiguous(memory_format=torch.channels_last)
    runs: dict[str, Run] = {}
    if torch_network is not network and images.device.type == "cpu":
        runs["kernel"] = lambda: network(images)
    planes = copy.deepcopy(torch_network)
    pixels = copy.deepcopy(torch_network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    runs["eager contiguous"] = lambda: planes(images)
    runs["eager channels_last"] = lambda: pixels(last)
    runs["torch.compile"] = compiled(pixels, last)
    if images.device.type == "cpu":
        runs["onnxruntime"] = in_onnxruntime(torch_network, images, folder, name)
    return runs


def torch_pruned(dense: nn.Module, images: Tensor) -> nn.Module:
    """The folded backbone ``dense`` without what torch-pruning can remove exactly: channels that one convolution alone reads.

    It removes channels from a whole group of coupled layers; on the residual stream they are coupled to layers that still
    use them, so only the channels inside the blocks (and the stem) can go without changing the result.
    """
    import torch_pruning

    pruned = copy.deepcopy(dense).requires_grad_(True)  # it traces through autograd
    graph = torch_pruning.DependencyGraph().build_dependency(pruned, example_inputs=(images[:1],))
    for producer, reader in inner_pairs(pruned):
        gone = (reader.weight.detach() == 0).transpose(0, 1).flatten(1).all(1).nonzero().flatten().tolist()
        gone = gone[: reader.in_channels - 1]  # it cannot leave a layer without any channel
        if gone:
            graph.get_pruning_group(producer, torch_pruning.prune_conv_out_channels, idxs=gone).prune()
    return pruned.requires_grad_(False)


def inner_pairs(backbone: nn.Module) -> list[tuple[nn.Conv2d, nn.Conv2d]]:
    """Producer and only reader of every map that is no residual stream."""
    stem = backbone.get_submodule("stem").children() if hasattr(backbone, "stem") else ()  # torchvision's: one convolution
    chains = [[module for module in stem if isinstance(module, nn.Conv2d)]]
    chains += [
        [module for name, module in block.named_children() if name.startswith("conv")]  # type: ignore[misc]
        for block in backbone.modules()
        if hasattr(block, "conv1")
    ]
    return [pair for chain in chains for pair in itertools.pairwise(chain)]


def alternate(runs: dict[str, Run], seconds: float, device: torch.device) -> dict[str, float]:
    """Return the median milliseconds of each run; they take turns for about ``seconds``, at least seven times."""
    measuring.times_in_turn(runs, device, 1)
    times = measuring.times_in_turn(runs, device, 7, seconds)
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def backbone_of(args: argparse.Namespace) -> tuple[nn.Module, str]:
    """The sparse backbone, in eval mode, and where its zeros come from."""
    if args.trial:
        from engine.checkpoint import find_trial
        from engine.saved_trial import load_trial

        trial = load_trial(find_trial("--trial", args.trial))
        return trial.model.backbone, f"trained: {trial.folder.name}"
    torch.manual_seed(args.seed)
    backbone = ResNetD(args.backbone).eval()
    random_pattern(backbone, args.sparsity, args.seed)
    return backbone, f"random, {100 * args.sparsity:.0f} %, seed {args.seed}"


def main() -> None:
    """Measure and print a table; with --json the last line is one JSON object."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--backbone", default="resnetd50", choices=("resnetd18", "resnetd50", "resnetd101"))
    parser.add_argument("--sparsity", type=float, default=0.7, help="share of zero groups of the random pattern")
    parser.add_argument("--trial", type=path_argument, help=f"trained trial ({TRIAL_FORMS}), in place of the random pattern")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--size", type=int, default=256, help="height and width of the images")
    parser.add_argument("--seconds", type=float, default=20, help="of measuring per batch size")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    backbone, pattern = backbone_of(args)
    dense = fold_batch_norm(MultiTaskModel(backbone, {})).backbone
    small = compact(MultiTaskModel(backbone, {}), image_size=(args.size, args.size))[0].backbone
    torch_small = compact(MultiTaskModel(backbone, {}), free_selects=False)[0].backbone
    torch_small.runner = NoRunner()  # type: ignore[assignment]
    sparsity = sparsity_report(backbone)
    threads = torch.get_num_threads()
    figures: dict[str, Any] = {"pattern": pattern, "group_sparsity": sparsity.group_sparsity, "threads": threads}
    print(f"{pattern}: {sparsity.group_sparsity:.1f} % of {sparsity.groups} groups zero; {args.device}, {threads} threads")
    networks = {"folded": (dense, dense), "compact": (small, torch_small)}
    for network in (dense, small, torch_small):
        network.to(args.device)
    sample = torch.rand(1, 3, args.size, args.size, device=args.device)
    try:
        pruned = torch_pruned(dense, sample)
        networks["pruned"] = (pruned, pruned)
    except ImportError:
        print("torch-pruning is not installed (pip install -r requirements-benchmarks.txt): left out")
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        expected = dense(sample)
        for name, (network, other) in networks.items():
            macs = count_macs(network, 3, (args.size, args.size))[""] / 1e9
            error = max(float((each(sample) - expected).abs().max() / expected.abs().max()) for each in (network, other))
            figures[f"backbone_{name}_GMACs"] = macs
            print(f"{name:8} {macs:6.2f} GMACs, largest relative difference {error:.1e}")
        for batch in args.batch:
            images = torch.rand(batch, 3, args.size, args.size, device=args.device)
            runs = {
                f"{name}: {runtime}": run
                for name, (network, other) in networks.items()
                for runtime, run in runtimes(network, other, images, folder, name).items()
            }
            figures[f"batch_{batch}"] = summary(alternate(runs, args.seconds, args.device), batch)
    if args.json:
        print(json.dumps(figures))


def summary(medians: dict[str, float], batch: int) -> dict[str, Any]:
    """Print the medians and the speed-ups of the compact network; return them."""
    print(f"\nbatch {batch}: median ms")
    for name, value in medians.items():
        print(f"  {name:32} {value:8.1f}")

    def best(network: str, *only: str) -> float:
        return min(v for k, v in medians.items() if k.startswith(network) and (not only or k.split(": ")[1].startswith(only)))

    ratios = {
        "best_runtime": best("folded") / best("compact"),
        "eager": best("folded", "eager") / best("compact", "eager", "kernel"),
        "eager_without_kernel": best("folded", "eager") / best("compact", "eager"),
    }
    if any(name.startswith("pruned") for name in medians):
        ratios |= {"against_torch_pruning": best("pruned") / best("compact")}
    for name, ratio in ratios.items():
        print(f"  speed-up, {name.replace('_', ' '):22} {ratio:8.2f}")
    return {"ms": medians, **ratios}


if __name__ == "__main__":
    main()
