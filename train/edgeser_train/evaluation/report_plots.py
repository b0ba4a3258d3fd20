"""The pictures of a report, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edgeser_train.evaluation.evaluation import Curve, Evaluation

_NAMED_LINES = 12


def confusion_png(r: Evaluation) -> bytes:
    """The confusion matrix: counts, coloured by the share of the true class."""
    counts = np.array(r.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = len(r.labels)
    side = 2.0 + 0.8 * labels
    figure = Figure(figsize=(side + 0.7, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if shares[row, column] > 0.5 else "black",
        )
    axes.set_xticks(range(labels), r.labels, rotation=0 if labels < 6 else 35, ha="center")
    axes.set_yticks(range(labels), r.labels)
    axes.set_xlabel("said by the model")
    axes.set_ylabel("true label")
    axes.set_title(
        f"{_title(r)}\nWA {100 * r.wa.value:.1f} %, UA {100 * r.ua.value:.1f} %", fontsize=11
    )
    figure.colorbar(picture, label="share of the true class", shrink=0.85)
    return _png(figure)


def curves_png(r: Evaluation) -> bytes:
    """Training loss and, where it was watched, validation UA of every fold and seed by epoch."""
    watched = [c for c in r.curves if c.validation]
    figure = Figure(figsize=(6.6, 5.6 if watched else 3.8), layout="constrained")
    above, below = figure.subplots(2, sharex=True) if watched else (figure.subplots(), None)
    folds = list(dict.fromkeys(c.fold for c in r.curves))
    palette = colormaps["tab10" if len(folds) <= 10 else "viridis"]
    spread = 10 if len(folds) <= 10 else len(folds)
    colour = {fold: palette(i / max(1, spread - (spread != 10))) for i, fold in enumerate(folds)}
    _draw(above, [(c, c.losses) for c in r.curves], colour, "training loss")
    if below is not None:
        _draw(below, [(c, [100 * v for v in c.validation]) for c in watched], colour, "")
        below.set_ylabel("validation UA, %")
        if r.chosen_on == "validation UA":
            for c in watched:
                if 1 <= c.chosen_epoch <= len(c.validation):
                    value = 100 * c.validation[c.chosen_epoch - 1]
                    below.plot(c.chosen_epoch, value, "o", color=colour[c.fold], markersize=5)
            below.set_title("dots: the epochs that were chosen", fontsize=9)
    (above if below is None else below).set_xlabel("epoch")
    above.set_title(_title(r), fontsize=11)
    lines, names = above.get_legend_handles_labels()
    if 1 < len(folds) <= _NAMED_LINES:
        figure.legend(lines, names, title="fold", loc="outside right upper", fontsize="small")
    elif len(folds) > 1:
        above.legend(lines[-1:], [f"mean of {len(r.curves)}"], fontsize="small")
    return _png(figure)


def _draw(
    axes: Axes,
    lines: list[tuple[Curve, list[float]]],
    colour: Mapping[str, tuple[float, ...]],
    name: str,
) -> None:
    """Every line thin; if there are several, their mean, up to the shortest, in black."""
    named: set[str] = set()
    for curve, values in lines:
        label = None if curve.fold in named else curve.fold
        named.add(curve.fold)
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, label=label, color=colour[curve.fold], linewidth=0.9, alpha=0.8)
    shared = min((len(values) for _, values in lines), default=0)
    if len(lines) > 1 and shared:
        mean = np.mean([values[:shared] for _, values in lines], axis=0)
        axes.plot(range(1, shared + 1), mean, color="black", linewidth=1.8, label="mean")
    axes.set_ylabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def _title(r: Evaluation) -> str:
    seeds = f", {len(r.seeds)} seeds" if len(r.seeds) > 1 else ""
    return f"{r.model} on {r.corpus}, {r.protocol} ({r.part} part{seeds})"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
