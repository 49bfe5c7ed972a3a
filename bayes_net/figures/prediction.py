"""What knowing shrinkage adds to the prediction of patients who were left out of the fit."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bayes_net.figures.style import GREYS, STYLE, Kind
from bayes_net.numbers import rounded, significant
from bayes_net.schema import AUC, BRIER

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
BETTER = {BRIER: "lower is better", AUC: "higher is better"}


@rc_context(STYLE)
def prediction_gain(scores: pd.DataFrame, **_how: Any) -> list[Axes]:
    """Differences of each score with their intervals, landmarks as rows, one panel a score.

    ``scores``: landmark, time (months after it), score, difference, lower, upper.
    """
    landmarks, times = list(scores["landmark"].unique()), list(scores["time"].unique())
    canvas = Canvas(figsize=(6.4, 1.3 + 0.42 * len(landmarks)), layout="constrained")
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
