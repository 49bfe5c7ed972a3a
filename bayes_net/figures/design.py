"""The figure of a planned study: the share of simulated studies that meet the rule, over their size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayes_net.checks.calibrate import NO_ASSOCIATION
from bayes_net.checks.design import POSTERIOR, named
from bayes_net.figures import style
from bayes_net.figures.style import MARKERS, STYLE, Figure, new_axes
from bayes_net.numbers import percent
from bayes_net.schema import ARM


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
