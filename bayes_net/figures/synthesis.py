"""The figures of a synthesis: each function draws one tidy table and returns axes; nothing is computed here.

Grey is what nobody printed: predicted landmarks, months beyond the data, a new study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import blended_transform_factory

from bayes_net.figures import style
from bayes_net.figures.captions import RIDGES, prior_posterior_in_words
from bayes_net.figures.forest import PRINTED, TO_READ_A_RATIO, forest, forest_in_words
from bayes_net.figures.overview import overview, overview_in_words
from bayes_net.figures.plots import prior_posterior
from bayes_net.figures.style import ARM_COLOURS, GREYS, STYLE, WIDTH, Figure, Kind, beside, fitted
from bayes_net.numbers import capitalised, format_posterior, format_probability, percent, rounded, significant
from bayes_net.report import synthesis_words
from bayes_net.report.evidence_tables import KINDS, interpretable
from bayes_net.report.synthesis_answer import first_screen_rows
from bayes_net.report.synthesis_words import describe, inside, of_new_study, parameter_label, response_label
from bayes_net.report.tables import by_landmark
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.schema import ARM, PER_10_POINTS, words
from bayes_net.statistics.kinds import kind_of


@rc_context(STYLE)
def contraction_plot(parameters: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Posterior SD as a share of the prior SD, one row a parameter; grey where the prior speaks.

    Beside it: the prior and the posterior SD themselves.
    """
    rows = interpretable(parameters)
    lines: list[tuple[str, Any]] = []
    for kind, own in rows.groupby("parameter", sort=False):
        lines += [(KINDS[kind], None), *((fitted(parameter_label(row), 24), row) for row in own.itertuples())]
    heights = style.row_places([label for label, _ in lines], 0.25)
    ax = style.new_axes(ax, height=0.9 + 0.25 * (heights[-1] + 1))
    place = {"transform": blended_transform_factory(ax.figure.transFigure, ax.transData)}
    place |= {"va": "center", "weight": "bold", "zorder": 3}
    place |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}
    for y, (label, row) in zip(heights, lines, strict=True):
        if row is None:
            ax.text(0.01, y, label, parse_math=False, **place).set_in_layout(False)
        else:
            share = row.sd / row.prior_sd
            colour = GREYS[1] if row.contraction < LEAST_CONTRACTION else ARM_COLOURS[0]
            ax.plot([1, share], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            ax.plot(share, y, marker="o", color=colour, markersize=6, gid="share")
            beside(ax, f"{rounded(row.prior_sd)} → {rounded(row.sd)}", 62, y)
    ticks, labels = zip(*((y, own[0]) for y, own in zip(heights, lines, strict=True) if own[1]), strict=True)
    ax.axvline(1, color="black", linewidth=0.8, zorder=1)
    style.row_labels(ax, ticks, labels)
    beside(ax, "SD: prior → post.", 62, -1.1, weight="bold", bbox={"facecolor": "white", "lw": 0, "pad": 1})
    right = max(1.1, 1.05 * (rows["sd"] / rows["prior_sd"]).max())
    ax.set(xlim=(0, right), ylim=(heights[-1] + 0.7, -1.6), xticks=(0, 0.5, 1))
    ax.set_xlabel("Posterior SD / prior SD (1: nothing learnt)")
    return ax


@rc_context(STYLE)
def synthesis_survival(survival: pd.DataFrame, *, arms: Sequence[str] = ()) -> list[Axes]:
    """Predicted curves of whole arms with their bands, one panel a study; grey and dashed beyond the data.

    ``survival`` holds one endpoint.
    """
    studies, colours = list(survival["study"].unique()), style.arm_colours(survival["arm"], arms)
    figure, grid = style.panels(len(studies), inches=(0.5, 2.2), sharey=True)
    end = survival["time"].max()
    for ax, study in zip(grid, studies, strict=True):
        for arm, curve in survival[survival["study"] == study].groupby("arm", sort=False):
            _curve(ax, curve, colours[arm])
        ax.set_title(fitted(study, 30), loc="left", parse_math=False)
        ax.set(xlim=(0, end), ylim=(0, 1.02), xticks=style.month_ticks(end), xlabel="Months")
    grid[0].set_ylabel(words(survival["endpoint"].iloc[0]), parse_math=False)
    labels = [*(fitted(arm, 24) for arm in colours), "beyond the data"]
    handles = [Line2D([], [], color=colours[arm]) for arm in colours]
    handles.append(Line2D([], [], color=GREYS[1], linestyle="--"))
    style.figure_legend(figure, handles, labels, columns=3)
    return grid


def _curve(ax: Axes, curve: pd.DataFrame, colour: str) -> None:
    start = curve.iloc[[0]].assign(time=0.0, estimate=1.0, lower=1.0, upper=1.0)
    curve = pd.concat([start, curve], ignore_index=True)
    beyond = curve["beyond_data"].to_numpy(bool)
    joined = beyond | np.append(beyond[1:], False)  # the last month with data begins the grey part
    for part, shade, line in ((curve[~beyond], colour, "-"), (curve[joined], GREYS[1], "--")):
        if len(part):
            band = {"color": shade, "alpha": 0.2, "linewidth": 0}
            ax.fill_between(part["time"], part["lower"], part["upper"], **band)
            ax.plot(part["time"], part["estimate"], color=shade, linestyle=line, gid="curve")


@rc_context(STYLE)
def response_plot(responses: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Probability of response by study and arm with its interval; the new study, a prediction, in grey."""
    labels = [fitted(response_label(row), 24) for row in responses.itertuples()]
    heights = style.row_places(labels, 0.33)
    ax = style.new_axes(ax, height=0.9 + 0.33 * (heights[-1] + 1))
    for y, row in zip(heights, responses.itertuples(), strict=True):
        colour = GREYS[1] if of_new_study(row) else ARM_COLOURS[0]
        ax.plot([row.lower, row.upper], [y, y], color=colour, gid="interval")
        ax.plot(row.estimate, y, marker="o", color=colour, markersize=7, gid="estimate")
        beside(ax, format_posterior(row, most=2), 82, y)
    style.row_labels(ax, heights, labels)
    ax.set(xlim=(0, 1), ylim=(heights[-1] + 0.6, -0.6), xticks=(0, 0.5, 1))
    ax.set_xlabel(f"Probability of response ({percent(responses['level'].iloc[0])} CrI)")
    return ax


def _bar(ax: Axes, row: Any, y: float, middle: float, name: str) -> None:
    """A bar from limit to limit, and a stroke at the median."""
    band = {"color": GREYS[2], "linewidth": 7, "solid_capstyle": "butt", "gid": "band"}
    ax.plot([row.lower, row.upper], [y, y], **band)
    ax.plot(middle, y, "|", color=GREYS[0], markersize=12, markeredgewidth=2, gid=name)


@rc_context(STYLE)
def unprinted_plot(unprinted: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Where each estimate can lie that is not printed: median and interval as a ratio, on a log axis."""
    names = [", ".join(filter(None, [row.arm, str(row.landmark)])) for row in unprinted.itertuples()]
    said = zip(names, unprinted["said"], strict=True)
    labels = [f"{fitted(name, 28)}\n{fitted(text, 28)}" for name, text in said]
    heights = style.row_places(labels, 0.36)
    ax = style.new_axes(ax, height=0.9 + 0.36 * (heights[-1] + 1))
    low, high = 0.97 * min(1, unprinted["lower"].min()), 1.03 * max(1, unprinted["upper"].max())
    for y, row in zip(heights, unprinted.itertuples(), strict=True):
        _bar(ax, row, y, row.estimate, "estimate")
    style.no_effect(ax)
    style.ratio_axis(ax, low, high, f"Estimate ({percent(unprinted['level'].iloc[0])} CrI), log scale")
    style.row_labels(ax, heights, labels)
    ax.set_ylim(heights[-1] + 0.6, -0.6)
    return ax


@rc_context(STYLE)
def checks_plot(checks: pd.DataFrame) -> list[Axes]:
    """Every held-out number on its predictive interval, one panel each on its own scale.

    Probabilities run from 0 to 1; months, hazard ratios and counts have axes of their own.
    """
    figure = Canvas(figsize=(WIDTH, 0.7 + 1.0 * len(checks)), layout="constrained")
    panels = list(np.ravel(figure.subplots(len(checks), 1, squeeze=False)))
    for ax, row in zip(panels, checks.itertuples(index=False), strict=True):
        _bar(ax, row, 0, row.predicted, "predicted")
        limits = [row.printed_lower, row.printed_upper]
        if np.isfinite(limits).all():
            ax.plot(limits, [0.5, 0.5], color="black", linewidth=1, gid="printed interval")
        ax.plot(row.printed, 0.5, gid="printed", **PRINTED)
        ax.set_ylim(-0.6, 0.95)
        _check_scale(ax, row)
        title = f"{row.row}: {describe(row)}"
        if unit := kind_of(row).unit:
            title = title.replace(row.statistic, f"{row.statistic} ({unit})", 1)
        title = f"{title}; p = {format_probability(row.p_value)}"
        ax.set_title(fitted(title, 50), loc="left", parse_math=False)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    band = Line2D([], [], color=GREYS[2], linewidth=7)
    labels = ["printed", "predictive interval, median"]
    style.figure_legend(figure, [Line2D([], [], **PRINTED), band], labels, columns=2)
    return panels


def _check_scale(ax: Axes, row: Any) -> None:
    values = [v for v in (row.lower, row.upper, row.printed, row.printed_lower, row.printed_upper) if v == v]
    low, high = min(values), max(values)
    axis = kind_of(row).axis
    if axis == "probability":
        ax.set(xlim=(0, 1), xticks=np.linspace(0, 1, 6))
    elif axis == "linear" or low <= 0 or high < 3 * low:
        ax.set_xlim(min(0, low), 1.08 * high)
    else:
        ticks = [tick * 10.0**power for power in range(-3, 4) for tick in (1, 2, 3, 5, 7)]
        ax.set_xscale("log")
        ax.set_xlim(low / 1.15, high * 1.15)
        ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if low / 1.15 <= t <= high * 1.15]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))


def _with_limits(value: float, row: Any) -> str:
    return f"{rounded(value)} ({rounded(row.lower)} to {rounded(row.upper)})"


def _comparison(table: pd.DataFrame) -> str:
    """What the hazard ratios between arms are, study by study."""
    rows = table.itertuples()
    texts = [f"{words(row.endpoint)}, {row.landmark} {_with_limits(row.hr, row)}" for row in rows]
    return f"hazard ratios between arms by study, {table['arm'].iloc[0]}; {'; '.join(texts)}."


def _response(table: pd.DataFrame) -> str:
    texts = [f"{response_label(row)} {_with_limits(row.estimate, row)}" for row in table.itertuples()]
    return f"probabilities of response; {'; '.join(texts)}."


def _synthesis_survival(table: pd.DataFrame) -> str:
    texts, known = [], table[~table["beyond_data"].astype(bool)]
    for (study, arm), curve in known.groupby(["study", "arm"], sort=False):
        end = curve.loc[curve["time"].idxmax()]
        texts.append(f"{study} {arm} {rounded(end['estimate'])} at {significant(end['time'])} months")
    return f"survival curves; the posterior median at the last month with data is {'; '.join(texts)}."


def _contraction(table: pd.DataFrame) -> str:
    rows = interpretable(table)
    least = [
        f"{row.parameter.replace('_', ' ')} {row.label}"
        for row in rows[rows["contraction"] < LEAST_CONTRACTION].itertuples()
    ]
    finding = (
        f"the prior speaks for {', '.join(least)}" if least else "the evidence narrows the prior of each"
    )
    return f"prior against posterior standard deviations of {len(rows)} parameters; {finding}."


def _unprinted(table: pd.DataFrame) -> str:
    texts = [
        f"{row.arm} {row.landmark} {rounded(row.lower)} to {rounded(row.upper)}" for row in table.itertuples()
    ]
    return f"where {len(table)} estimates can lie that are not printed; {'; '.join(texts)}."


def _checks(table: pd.DataFrame) -> str:
    within = inside(table)
    outside = f"; outside: {', '.join(table.loc[~within, 'row'])}" if not within.all() else ""
    count = f"{int(within.sum())} of {len(table)}"
    return f"held-out numbers; {count} lie inside their predictive interval{outside}."


SYNTHESIS = {
    "overview": Kind(
        overview,
        "answer",
        "Posterior median hazard ratios with intervals by landmark and arm, on a log axis. Filled: a number "
        "is printed, or from patients. Hollow: a paper says something and prints no number. Dotted: "
        "predicted, or only the prior.",
        overview_in_words,
    ),
    "forest": Kind(
        forest,
        "hazard-ratios",
        "Posterior median hazard ratios with intervals by landmark and arm (hollow: no limit); printed ones "
        f"are open diamonds below them. Grey markers: predicted, no printed number. {TO_READ_A_RATIO}",
        forest_in_words,
    ),
    "comparison": Kind(
        overview,
        "answer",
        "Posterior median hazard ratios between arms with intervals by study, on a log axis. Shaded: 0.9 to "
        "1.11. Dotted: a new study, or only the prior.",
        _comparison,
    ),
    "unprinted": Kind(
        unprinted_plot,
        "hazard-ratios",
        "Estimates of which a paper says something but prints no number: where each can lie (bar: interval; "
        "stroke: median), and what is said of it.",
        _unprinted,
    ),
    "response": Kind(
        response_plot,
        "response",
        "Probability of response: posterior median and interval. Grey: prediction for a new study.",
        _response,
    ),
    "survival": Kind(
        synthesis_survival,
        "survival",
        "Predicted survival of whole arms: posterior median (line) and interval (band). Grey and dashed: "
        "beyond the data.",
        _synthesis_survival,
    ),
    "contraction": Kind(
        contraction_plot,
        "learnt",
        "How far the evidence narrows the prior: from 1 (nothing learnt) to the dot. Grey: the prior speaks.",
        _contraction,
    ),
    "prior_posterior": Kind(prior_posterior, "learnt", RIDGES, prior_posterior_in_words),
    "checks": Kind(
        checks_plot,
        "checks",
        "Held-out numbers (diamonds, with their printed limits) on what the model predicts (bars; the stroke "
        "is the median), each on its own scale.",
        _checks,
    ),
}
"""Every kind of figure of a synthesis, by the name of its files."""


def draw_synthesis(found: Mapping[str, pd.DataFrame]) -> Iterator[Figure]:
    """Every figure of a synthesis.

    None when the gate of the fit of all evidence failed: a picture would be believed.
    """
    if synthesis_words.whole_failed(found):
        return
    ratios = found.get("hazard_ratios", pd.DataFrame(columns=["arm", "measure", "endpoint"]))
    if len(rows := first_screen_rows(found)):
        of_arms = (rows["estimand"] == ARM).all()
        arms, subject = list((rows if of_arms else ratios)["arm"].unique()), rows["measure"].iloc[0]
        kind = SYNTHESIS["comparison" if of_arms else "overview"]
        yield kind.figure("overview", rows, subject=capitalised(subject), arms=arms)
    yield from _by_endpoint("forest", ratios[ratios["measure"] == PER_10_POINTS], ratios)
    if "unprinted" in found:
        yield SYNTHESIS["unprinted"].figure("unprinted", found["unprinted"])
    if "responses" in found:
        yield SYNTHESIS["response"].figure("response", found["responses"])
    if "survival" in found:
        survival = found["survival"]
        yield from _by_endpoint("survival", survival, found.get("hazard_ratios", survival))
    if "slope_densities" in found and len(ratios):
        about = ["endpoint", "arm", "landmark"]
        rows = ratios.loc[ratios["measure"] == PER_10_POINTS, [*about, "status"]]
        densities = by_landmark(found["slope_densities"].merge(rows, on=about, how="left"))
        yield from _by_endpoint("prior_posterior", densities, ratios)
    if "parameters" in found and len(interpretable(found["parameters"])):
        yield SYNTHESIS["contraction"].figure("contraction", found["parameters"])
    if "checks" in found:
        yield SYNTHESIS["checks"].figure("checks", found["checks"])


def _by_endpoint(kind: str, table: pd.DataFrame, colours: pd.DataFrame) -> Iterator[Figure]:
    """A figure of each endpoint, in which arms have the colours of the table ``colours``."""
    arms = list(colours["arm"].unique())
    for endpoint, rows in table.groupby("endpoint", sort=False):
        name = words(endpoint)
        yield SYNTHESIS[kind].figure(f"{kind}_{name}".lower(), rows, subject=name, arms=arms)
