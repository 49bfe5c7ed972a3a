"""The figure of held-out checks: what was printed on what the model predicts, each on its own scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bayes_net import tables
from bayes_net._drawing import GREYS, STYLE, WIDTH, short
from bayes_net._pool_forest import PRINTED
from bayes_net._pool_wording import describe


@rc_context(STYLE)
def checks_plot(checks: pd.DataFrame) -> list[Axes]:
    """Every held-out number on its predictive interval, one panel each on its own scale.

    Probabilities run from 0 to 1; months, hazard ratios and counts have axes of their own.
    """
    figure = Figure(figsize=(WIDTH, 0.7 + 0.95 * len(checks)), layout="constrained")
    panels = list(np.ravel(figure.subplots(len(checks), 1, squeeze=False)))
    for ax, row in zip(panels, checks.itertuples(index=False), strict=True):
        ax.plot(
            [row.lower, row.upper], [0, 0], color=GREYS[2], linewidth=7, solid_capstyle="butt", gid="band"
        )
        ax.plot(row.predicted, 0, "|", color=GREYS[0], markersize=12, markeredgewidth=2, gid="predicted")
        limits = [row.printed_lower, row.printed_upper]
        if np.isfinite(limits).all():
            ax.plot(limits, [0.5, 0.5], color="black", linewidth=1, gid="printed interval")
        ax.plot(row.printed, 0.5, gid="printed", **PRINTED)
        ax.set_ylim(-0.6, 0.95)
        _check_scale(ax, row)
        title = short(f"{row.row}: {describe(row)}", 60).replace("median", "median (mo)", 1)
        ax.set_title(title, fontsize=9, loc="left", parse_math=False)
        ax.set_title(f"p = {tables.format_probability(row.p_value)}", fontsize=9, loc="right")
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    band = Line2D([], [], color=GREYS[2], linewidth=7)
    entries = {"loc": "outside upper left", "ncols": 2}
    figure.legend([Line2D([], [], **PRINTED), band], ["printed", "predictive interval, median"], **entries)
    return panels


def _check_scale(ax: Axes, row) -> None:
    values = [v for v in (row.lower, row.upper, row.printed, row.printed_lower, row.printed_upper) if v == v]
    low, high = min(values), max(values)
    if row.statistic in ("survival", "rate"):
        ax.set(xlim=(0, 1), xticks=np.linspace(0, 1, 6))
    elif row.statistic == "count" or low <= 0 or high < 3 * low:
        ax.set_xlim(min(0, low), 1.08 * high)
    else:
        ticks = [tick * 10.0**power for power in range(-3, 4) for tick in (1, 2, 3, 5, 7)]
        ax.set_xscale("log")
        ax.set_xlim(low / 1.15, high * 1.15)
        ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if low / 1.15 <= t <= high * 1.15]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
