"""What is to come: what shrinkage adds to the prediction of patients who were left out of the fit, and how
many planned studies meet their rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from bayes_net.checks.calibrate import NO_ASSOCIATION
from bayes_net.checks.design import POSTERIOR, named
from bayes_net.figures import style
from bayes_net.figures.style import GREYS, MARKERS, STYLE, WIDTH, Figure, Kind, new_axes
from bayes_net.numbers import percent, rounded, significant
from bayes_net.schema import ARM, AUC, BRIER

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
BETTER = {BRIER: "lower is better", AUC: "higher is better"}


@rc_context(STYLE)
def prediction_gain(scores: pd.DataFrame, **_how: Any) -> list[Axes]:
    """Differences of each score with their intervals, landmarks as rows, one panel a score.

    ``scores``: landmark, time (months after it), score, difference, lower, upper.
    """
    landmarks, times = list(scores["landmark"].unique()), list(scores["time"].unique())
    canvas = Canvas(figsize=(WIDTH, 1.3 + 0.42 * len(landmarks)), layout="constrained")
    panels = canvas.subplots(1, scores["score"].nunique(), sharey=True, squeeze=False)[0]
    for ax, (score, own) in zip(panels, scores.groupby("score", sort=False), strict=True):
        ax.axvline(0, color=GREYS[1], linewidth=0.8)
        for row in own.itertuples():
            k = times.index(row.time)
            y = landmarks.index(row.landmark) + 0.22 * (k - (len(times) - 1) / 2)
            ax.plot([row.lower, row.upper], [y, y], color=COLOURS[k % len(COLOURS)])
            ax.plot(row.difference, y, "o", color=COLOURS[k % len(COLOURS)], markersize=4)
        ax.set_title(f"{score} ({BETTER[score]})")
        ax.set_xlabel("With shrinkage minus without")
        ax.set_yticks(range(len(landmarks)), landmarks)
        ax.set_ylim(len(landmarks) - 0.5, -0.5)
    for k, t in enumerate(times):
        panels[0].plot([], [], "o-", color=COLOURS[k % len(COLOURS)], label=f"{significant(t)} months")
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(times))
    return list(panels)


def _in_words(scores: pd.DataFrame) -> str:
    texts = [
        f"{row.landmark}, {significant(row.time)} months, {row.score} {rounded(row.difference, 3)} "
        f"({rounded(row.lower, 3)} to {rounded(row.upper, 3)})"
        for row in scores.itertuples()
    ]
    return f"differences of scores with and without shrinkage: {'; '.join(texts)}."


PREDICTION = Kind(
    prediction_gain,
    "prediction",
    "What knowing shrinkage by the landmark adds to the prediction of patients who were left out of the fit, "
    "with intervals from resampled patients.",
    _in_words,
)


@rc_context(STYLE)
def operating_curve(summary: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of studies of one arm that meet the rule over their size, a line a truth, with two Monte-Carlo
    errors to either side; dotted where there is no association."""
    ax, truths = new_axes(ax, height=3.2), list(summary["truth"].unique())
    colours = style.arm_colours(pd.Series(truths), ())
    handles = []
    for truth, own in summary.groupby("truth", sort=False):
        line = {POSTERIOR: "-", NO_ASSOCIATION: ":"}.get(str(truth), "--")
        look = {
            "color": colours[truth],
            "marker": MARKERS[truths.index(truth) % len(MARKERS)],
            "markersize": 4,
        }
        ax.plot(own["patients"], own["success"], line, **look)
        handles.append(Line2D([], [], linestyle=line, **look))
        for row in own.itertuples():
            ends = np.clip([row.success - 2 * row.mcse, row.success + 2 * row.mcse], 0, 1)
            ax.plot([row.patients] * 2, ends, color=colours[truth], linewidth=1)
    ax.set(ylim=(0, 1), xlabel="Patients who enter", ylabel="Studies that meet the rule")
    ax.set_xticks(sorted(summary["patients"].unique()))
    style.add_legend(ax, handles, [named(truth) for truth in truths])
    return ax


def draw_design(summary: pd.DataFrame, certainty: float) -> Iterator[Figure]:
    """A figure an arm."""
    for number, (arm, own) in enumerate(summary.groupby(ARM, sort=False), start=1):
        last = own[own["patients"] == own["patients"].max()]
        ends = "; ".join(f"{named(r.truth)} {percent(r.success)}" for r in last.itertuples())
        yield Figure(
            f"design_{number}",
            "answer",
            operating_curve(own),
            f"{arm}: share of simulated studies that meet the rule (certainty {certainty:g}), by size and "
            "truth; bars are two Monte-Carlo errors to either side.",
            f"{arm}: with {last['patients'].iloc[0]} patients, {ends}.",
        )
