"""Draws docs/figures/compact_bottleneck.png: the channels of a bottleneck before and after compaction.

python docs/figures/draw_bottleneck.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

# Channels that each convolution reads, and the channels of the stream that later blocks read.
STREAM, INNER = range(10), range(6)
READS = {"conv1": (0, 2, 5, 8), "conv2": (1, 2, 4), "conv3": (0, 3)}
LATER = (0, 1, 2, 4, 5, 7)
READ, ONLY_LATER, GONE = "#0072b2", "#e69f00", "#e3e3e3"
MAPS = ("stream", "after conv1", "after conv2", "stream + after conv3")
GAP, SIZE = 5.4, 0.82


def place(axes: Axes, column: int, channels: Sequence[int], colours: Sequence[str], title: str, rows: int) -> dict[int, float]:
    """One map as a stack of squares, a channel each; returns their heights."""
    heights = {}
    for position, (channel, colour) in enumerate(zip(channels, colours, strict=True)):
        y = (rows - len(channels)) / 2 + len(channels) - 1 - position
        axes.add_patch(Rectangle((column * GAP, y), SIZE, SIZE, facecolor=colour, edgecolor="white", linewidth=1))
        shade = "#777777" if colour == GONE else "white"
        axes.text(column * GAP + SIZE / 2, y + SIZE / 2, str(channel), ha="center", va="center", fontsize=7, color=shade)
        heights[channel] = y + SIZE / 2
    axes.text(column * GAP + SIZE / 2, rows + 0.5, title, ha="center", va="bottom", fontsize=8.5)
    return heights


def connect(axes: Axes, column: int, sources: Sequence[float], targets: Sequence[float], name: str, note: str) -> None:
    """A convolution: from each channel that it reads to each of its filters."""
    left, right = column * GAP + SIZE, (column + 1) * GAP
    for a in sources:
        for b in targets:
            axes.plot((left, right), (a, b), color="#9aa5b1", linewidth=0.45, zorder=0)
    axes.text((left + right) / 2, -0.75, name, ha="center", va="top", fontsize=8.5, weight="bold")
    axes.text((left + right) / 2, -1.6, note, ha="center", va="top", fontsize=7.5, color="#444444")


def before(axes: Axes) -> None:
    """The masked network: everything is computed, and what a zero group reads is ignored."""
    readers = [READS["conv1"], READS["conv2"], READS["conv3"], LATER]
    stacks = []
    for column, (channels, read) in enumerate(zip((STREAM, INNER, INNER, STREAM), readers, strict=True)):
        needed_later = LATER if column == 0 else ()
        colours = [READ if c in read else ONLY_LATER if c in needed_later else GONE for c in channels]
        stacks.append(place(axes, column, channels, colours, MAPS[column], len(STREAM)))
    for column, name in enumerate(READS):
        every = list(stacks[column + 1].values())
        connect(
            axes, column, list(stacks[column].values()), every, name, f"{len(stacks[column])} channels\n{len(every)} filters"
        )


def after(axes: Axes) -> None:
    """Draw the rest: filters with a reader, and channels that a filter reads."""
    stream = [*LATER, *(c for c in READS["conv1"] if c not in LATER)]  # those that are needed longest come first
    maps = [stream, READS["conv2"], READS["conv3"], LATER]
    stacks = []
    for column, channels in enumerate(maps):
        colours = [ONLY_LATER if column == 0 and c not in READS["conv1"] else READ for c in channels]
        stacks.append(place(axes, column, channels, colours, MAPS[column], len(STREAM)))
    for column, name in enumerate(READS):
        read = [stacks[column][c] for c in READS[name]]
        filters = list(stacks[column + 1].values())
        chosen = f"{len(read)} of {len(stacks[column])} channels" if column == 0 else f"{len(read)} channels"
        connect(axes, column, read, filters, name, f"{chosen}\n{len(filters)} filters")


def main() -> None:
    """Draw and save."""
    figure, both = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    for axes, draw, title in zip(both, (before, after), ("before: zeros are multiplied", "after: equal outputs"), strict=True):
        draw(axes)
        axes.set_title(title, fontsize=11, weight="bold", loc="left", pad=14)
        axes.set(xlim=(-1, 3 * GAP + SIZE + 1), ylim=(-3.4, len(STREAM) + 1.2), aspect="equal")
        axes.axis("off")
    figure.legend(
        handles=[
            Patch(color=READ, label="read by the next layer"),
            Patch(color=ONLY_LATER, label="ignored by conv1, read by a later block"),
            Patch(color=GONE, label="ignored by every later reader: removed with the filter that makes it"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8.5,
    )
    figure.savefig(Path(__file__).with_name("compact_bottleneck.png"), dpi=130)


if __name__ == "__main__":
    main()
