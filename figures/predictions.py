"""Pictures of what a multi-task model predicts: input, target (if there is one) and prediction side by side, one row per image.

``figures.colours`` turns one frame of a dense task into colours; ``prediction_figure`` lays frames out with headings
and legends. Sizes in this module are inches: every part has its own place, so that nothing overlaps at any number of
images, tasks and classes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures.colours import (
    INVALID_DARK,
    INVALID_LIGHT,
    Limits,
    colourise,
    segmentation_palette,
    valid_pixels,
    value_limits,
)
from figures.texts import write_beside
from tasks.kinds import KINDS
from tasks.table import Task

Arrays = Mapping[str, np.ndarray]
Legends = list[tuple[str, list[Patch]]]

_DIRECTIONS = {
    "+x right": "#FF8080",
    "\u2212x left": "#008080",
    "+y down": "#80FF80",
    "\u2212y up": "#800080",
    "+z forward": "#8080FF",
    "\u2212z to the camera": "#808000",
}
"""Colour (n + 1) / 2 of the six unit vectors."""
_RIGHT, _WRONG, _UNKNOWN = "#00694C", "#B23A00", "#555555"

_GAP, _BAR = 0.08, 0.48
_LINE = 0.18
_MARGIN = 0.15
_MAX_CLASSES = 24
_INPUTS_PER_ROW = 4


@dataclass(frozen=True)
class PredictedFrames:
    """N images with the predictions of some tasks, and their targets where there are any.

    Raises:
        ValueError: no image, targets and predictions are not of the same tasks, or a number of frames is not N.
    """

    images: np.ndarray
    """(N, 3, H, W) or (N, 1, H, W) floats in [0, 1]."""
    predictions: Arrays
    """Per task: segmentation (N, H, W) class numbers, depth and edges (N, 1, H, W), normals (N, 3, H, W), attribute (N,) the
    probability of 1."""
    targets: Arrays | None = None
    """Per task as ``predictions``, an attribute 0 or 1; the order of the columns is theirs. None: there are no targets."""
    masks: Arrays = field(default_factory=dict)
    """Per task, True where the target is valid: (N, H, W), (N, 1, H, W), attribute (N,). A missing task is valid everywhere
    (but for label 255 and values that are not finite)."""
    names: Sequence[str] | None = None
    """N names of the images, written beside them."""

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 4 or shape[1] not in (1, 3) or not len(self.images):
            raise ValueError(f"images must be (N, 3, H, W) or (N, 1, H, W) with N > 0, not {shape}")
        if self.targets is not None and set(self.targets) != set(self.predictions):
            raise ValueError(f"targets are of the tasks {sorted(self.targets)}, predictions of {sorted(self.predictions)}")
        for what, arrays in (("targets", self.references), ("masks", self.masks), ("predictions", self.predictions)):
            for name, array in arrays.items():
                if len(array) != shape[0]:
                    raise ValueError(f"{what}[{name!r}] holds {len(array)} frames, images {shape[0]}")
        if self.names is not None and len(self.names) != shape[0]:
            raise ValueError(f"{len(self.names)} names for {shape[0]} images")

    @property
    def references(self) -> Arrays:
        """Targets, or the predictions where there are none: the span of colours and the order of columns are theirs."""
        return self.predictions if self.targets is None else self.targets

    def mask(self, task: Task, index: int) -> Any:
        """Return the mask of a frame; None where all of it is valid."""
        return self.masks[task.name][index] if task.name in self.masks else None


def prediction_figure(
    frames: PredictedFrames, tasks: Mapping[str, Task], title: str, units: Mapping[str, str] | None = None
) -> Figure:
    """Draw input, targets and predictions of N images: one row per image, two columns per dense task.

    Attributes stand as text under the input ("Male 1 -> 0.93": target, predicted probability). Without a dense task the
    inputs stand four to a row. Without targets there is one column per dense task, of larger pictures, and the colours of
    depth and edges span each prediction's own values.

    Args:
        frames: images, targets and predictions.
        tasks: by name.
        title: wrapped where it is longer than the figure is wide.
        units: per depth task what its heading adds, such as ``{"depth_euclidean": "m"}``.

    Raises:
        KeyError: a task is unknown.
    """
    shown = [tasks[name] for name in frames.references]
    dense, others = ([task for task in shown if task.is_dense is wanted] for wanted in (True, False))
    page = _Page(frames, title, units or {}, _legends(frames, dense), dense, len(others))
    for index, image in enumerate(frames.images):
        axes = page.picture(index, 0, np.clip(np.moveaxis(image, 0, -1), 0, 1).repeat(3 // len(image), axis=-1))
        if frames.names is not None:
            axes.set_ylabel(_shortened(str(frames.names[index]), page.cell_height), fontsize=8, parse_math=False)
        for line, task in enumerate(others):
            _write_attribute(axes, line, task, frames, index)
        for position, task in enumerate(page.dense):
            target, mask = frames.references[task.name][index], frames.mask(task, index)
            limits = value_limits(task, target, mask) if KINDS[task.kind].is_scalar else None
            column = page.column_of_prediction(position)
            if page.with_targets:
                page.picture(index, column - 1, colourise(task, target, mask, limits))
            page.picture(index, column, colourise(task, frames.predictions[task.name][index], None, limits))
            if _has_bar(task) and limits is not None:
                page.colour_bar(index, position, limits)
    return page.figure


def _has_bar(task: Task) -> bool:
    """Return whether the colours of a task are explained by a colour bar beside each picture."""
    kind = KINDS[task.kind]
    return kind.is_scalar and kind.ends is None


class _Page:
    """A figure and where its parts stand, in inches from the top left: title, headings, rows of pictures, legends."""

    def __init__(
        self,
        frames: PredictedFrames,
        title: str,
        units: Mapping[str, str],
        legends: Legends,
        dense: Sequence[Task],
        attributes: int,
    ) -> None:
        count, _, height, width = frames.images.shape
        self.dense, self.with_targets = dense, frames.targets is not None
        with_targets = self.with_targets
        self.cell_width = 2.6 if not with_targets else 1.75 if len(dense) <= 2 else 1.5
        # A very wide or tall picture stands in the middle of its cell.
        self.cell_height = self.cell_width * min(max(height / width, 0.25), 2.0)
        self.row_step = self.cell_height + (attributes * _LINE + 0.15 if attributes else _GAP)
        # Inputs alone stand beside each other, and their names and lines of text need room.
        self.inputs = 1 if dense else min(count, _INPUTS_PER_ROW)
        step = self.cell_width + 0.4
        self.starts = [_MARGIN + (0.22 if frames.names is not None else 0.0) + place * step for place in range(self.inputs)]
        right = self.starts[-1] + self.cell_width
        for task in dense:
            self.starts.append(right + 2 * _GAP)
            if with_targets:
                self.starts.append(right + 3 * _GAP + self.cell_width)
            right = self.starts[-1] + self.cell_width + (_BAR if _has_bar(task) else 0.0)
        self.width = max(right + _MARGIN, 3.6)

        # 10 to 11 characters of the bold 11-point title fit in an inch.
        wrapped = textwrap.fill(title, int((self.width - 2 * _MARGIN) * 10))
        self.top = _MARGIN + _LINE * (wrapped.count("\n") + 1) + ((0.55 if with_targets else 0.33) if dense else 0.12)
        legend_top = self.top + -(-count // self.inputs) * self.row_step + 0.1
        heights = [(self._legend_size(handles)[1] + bool(name)) * _LINE + 0.1 for name, handles in legends]
        self.height = legend_top + sum(heights) + _MARGIN / 2
        self.figure = Figure(figsize=(self.width, self.height))
        self._text(self.width / 2, _MARGIN, wrapped, fontsize=11, fontweight="bold", va="top")
        self._write_headings([f"{task.title} ({units[task.name]})" if task.name in units else task.title for task in dense])
        for (name, handles), legend_height in zip(legends, heights, strict=True):
            self._write_legend(name, handles, legend_top)
            legend_top += legend_height

    def column_of_prediction(self, position: int) -> int:
        """Return the column of the prediction of dense task number ``position``; its target, if any, is the one before."""
        return (1 + self.with_targets) * (position + 1)

    def picture(self, index: int, column: int, colours: np.ndarray) -> Axes:
        """Show image number ``index``; column 0 is the input."""
        row, place = (index, column) if self.dense else divmod(index, self.inputs)
        axes = self._axes(self.starts[place], self.top + row * self.row_step, self.cell_width, self.cell_height)
        axes.imshow(colours, interpolation="nearest" if column else None)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_linewidth(0.5)
        return axes

    def colour_bar(self, index: int, position: int, limits: Limits) -> None:
        """Draw the scale of one frame, right of its prediction; arrows say that a prediction may lie beyond its target's."""
        top = self.top + index * self.row_step + 0.05
        left = self.starts[self.column_of_prediction(position)] + self.cell_width + 0.06
        axes = self._axes(left, top, 0.09, self.cell_height - 0.1)
        colours = ScalarMappable(Normalize(*limits), KINDS[self.dense[position].kind].colour_map)
        bar = self.figure.colorbar(colours, cax=axes, extend="both" if self.with_targets else "neither", extendfrac=0.05)
        ticks = np.linspace(*limits, 3).tolist()
        decimals = 2 if limits[1] - limits[0] >= 0.1 else 4
        bar.set_ticks(ticks, labels=[f"{value:.{decimals}f}" for value in ticks])
        axes.tick_params(labelsize=7, length=2, pad=1.5)

    def _write_headings(self, headings: list[str]) -> None:
        if not self.dense:
            return
        half, above = self.cell_width / 2, self.top - 0.06
        self._text(self.starts[0] + half, above, "input", fontsize=8.5 if self.with_targets else 9.5)
        for position, heading in enumerate(headings):
            column = self.column_of_prediction(position)
            if not self.with_targets:
                self._text(self.starts[column] + half, above, heading, fontsize=9.5)
                continue
            target, prediction = self.starts[column - 1 : column + 1]
            self._text(target + half, above, "target", fontsize=8.5)
            self._text(prediction + half, above, "prediction", fontsize=8.5)
            self._text((target + prediction) / 2 + half, above - 0.22, heading, fontsize=9.5)
            ends = [target / self.width, (prediction + self.cell_width) / self.width]
            height = 1 - (above - 0.18) / self.height
            self.figure.add_artist(Line2D(ends, [height, height], color="#555555", linewidth=0.7))

    def _write_legend(self, name: str, handles: list[Patch], top: float) -> None:
        self.figure.legend(
            handles=handles,
            title=name or None,
            loc="upper left",
            bbox_to_anchor=(_MARGIN / self.width, 1 - top / self.height),
            ncols=self._legend_size(handles)[0],
            fontsize=8,
            title_fontsize=8.5,
            alignment="left",
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.2,
            columnspacing=1.0,
        )

    def _legend_size(self, handles: list[Patch]) -> tuple[int, int]:
        """Return the columns and rows of a legend: a character of its 8-point text is at most 0.075 inches wide."""
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = int((self.width - 2 * _MARGIN) / (0.38 + 0.075 * longest))
        rows = -(-len(handles) // max(1, columns))
        return -(-len(handles) // rows), rows

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def _text(self, x: float, y: float, text: str, va: str = "bottom", **style: Any) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, ha="center", va=va, parse_math=False, **style)


def _legends(frames: PredictedFrames, dense: Sequence[Task]) -> Legends:
    """Make the legends of the kinds of tasks in the figure."""
    legends: Legends = []
    some_invalid = False
    for task in dense:
        references = frames.references[task.name]
        valid = [valid_pixels(task, reference, frames.mask(task, index)) for index, reference in enumerate(references)]
        some_invalid |= not all(frame.all() for frame in valid)
        if task.kind == "segmentation":
            shown = [reference.reshape(-1)[ok.ravel()] for reference, ok in zip(references, valid, strict=True)]
            labels = np.concatenate([*shown, frames.predictions[task.name].ravel()])
            legends.append((f"{task.title}, classes", _class_handles(labels, task.classes)))
        elif task.kind == "normals":
            # Where nobody says which way the axes point, the legend does not either.
            known = task.normal_axes is not None
            names = {name if known else name.split()[0]: colour for name, colour in _DIRECTIONS.items()}
            legends.append((f"{task.title}, colour = (n + 1) / 2", _handles(names)))
        elif (kind := KINDS[task.kind]).ends is not None:
            low, high = kind.ends
            high = high if frames.targets is None else f"{high} of the target"
            colours = map(to_hex, colormaps[kind.colour_map]([0.0, 1.0]))
            legends.append((task.title, _handles(dict(zip((low, high), colours, strict=True)))))
    if some_invalid:
        light, dark = str(INVALID_LIGHT), str(INVALID_DARK)
        label = "no value" if frames.targets is None else "no valid target"
        legends.append(("", [Patch(facecolor=light, edgecolor=dark, hatch="/////", label=label)]))
    return [(name, handles) for name, handles in legends if handles]


def _class_handles(labels: np.ndarray, classes: Sequence[str]) -> list[Patch]:
    """Make the classes among ``labels`` in label order; of too many, those with the most pixels."""
    # Labels that are no class are left to ``colourise``, whose error names them.
    known = labels[(labels >= 0) & (labels < len(classes))]
    counts = np.bincount(known.astype(int), minlength=len(classes))
    frequent = [c for c in np.argsort(-counts, kind="stable") if counts[c]]
    palette = segmentation_palette(len(classes))
    handles = [Patch(color=tuple(palette[c]), label=classes[c]) for c in sorted(frequent[:_MAX_CLASSES])]
    if len(frequent) > _MAX_CLASSES:
        handles.append(Patch(alpha=0, label=f"+ {len(frequent) - _MAX_CLASSES} rarer"))
    return handles


def _handles(colours: Mapping[str, str]) -> list[Patch]:
    return [Patch(facecolor=colour, edgecolor="#555555", linewidth=0.5, label=name) for name, colour in colours.items()]


def _write_attribute(axes: Axes, line: int, task: Task, frames: PredictedFrames, index: int) -> None:
    """Write a line under a picture: target, prediction (of an attribute its probability), and by colour and sign whether they
    agree."""
    prediction, mask = frames.predictions[task.name][index], frames.mask(task, index)
    target = None if frames.targets is None else frames.targets[task.name][index]
    told = task.classes[int(prediction)] if task.classes else f"{prediction:.3g} {task.unit}".rstrip()
    if task.kind == "attribute":
        told = f"{prediction:.2f}"
    if target is None:
        truth, sign, colour = "", "", "#000000"
    elif not ((mask is None or mask) and np.isfinite(target)):
        truth, sign, colour = "? \u2192 ", "", _UNKNOWN
    elif task.kind == "regression":
        truth, sign, colour = f"{target:.3g} \u2192 ", "", "#000000"
    else:
        right = prediction == target if task.classes else (prediction >= 0.5) == (target >= 0.5)
        truth = f"{task.classes[int(target)] if task.classes else format(target, '.0f')} \u2192 "
        sign, colour = " \u2713" if right else " \u2717", _RIGHT if right else _WRONG
    text, place = f"{task.title} {truth}{told}{sign}", (0, -3 - 72 * _LINE * line)
    style: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 8.5, "color": colour}
    write_beside(axes, text, (0.5, 0.0), place, xycoords="axes fraction", **style)


def _shortened(name: str, inches: float) -> str:
    """Keep the end of a name that is too long (file names differ there); an 8-point character takes about 0.07 inches."""
    limit = max(4, int(inches / 0.07))
    return name if len(name) <= limit else f"\u2026{name[1 - limit :]}"
