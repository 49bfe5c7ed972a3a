"""Figures draw what the tables hold, safely and the same each time."""

import inspect
import re
from xml.etree import ElementTree

import fake_results
import numpy as np
import pandas as pd
import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from bayes_net.figures import plots, style
from bayes_net.figures.captions import PATIENTS
from bayes_net.figures.forest import forest
from bayes_net.figures.overview import overview
from bayes_net.figures.plots import (
    attrition_flow,
    baseline_hazard,
    hazard_ratio_by_time,
    ppc,
    prior_posterior,
    survival,
    waterfall,
)
from bayes_net.figures.style import ARM_COLOURS, save
from bayes_net.labels import BIASED
from bayes_net.numbers import format_interval

FIRST, SECOND = fake_results.ARMS
HOSTILE = ('<script>alert(1)</script> & "q" $a_b^2$', "_ルテチウム" + " very long" * 20)
DRAWN = {
    "forest": lambda arms: forest(fake_results.hazard_ratios(arms)),
    "overview": lambda arms: overview(fake_results.hazard_ratios(arms))[0],
    "survival": lambda arms: survival(*fake_results.curves(arms)),
    "baseline_hazard": lambda arms: baseline_hazard(fake_results.baseline(arms)),
    "hazard_ratio_by_time": lambda arms: hazard_ratio_by_time(fake_results.ratios_by_time(arms)),
    "waterfall": lambda arms: waterfall(fake_results.best_change(arms)),
    "attrition_flow": lambda arms: attrition_flow(fake_results.attrition(arms)),
    "prior_posterior": lambda arms: prior_posterior(fake_results.densities(arms)),
    "ppc": lambda arms: ppc(*fake_results.replicates(arms)),
}


LONG = ("best supportive care and octreotide LAR", "177Lu-DOTATATE with octreotide LAR 30 mg every month")
"""Names longer than a line of any figure."""


@pytest.mark.parametrize("kind", DRAWN)
def test_no_name_is_cut_however_long(kind):
    figure = DRAWN[kind](LONG).figure
    written = [" ".join(text.get_text().split()) for text in figure.findobj(Text)]
    assert all(any(name in text for text in written) for name in LONG)
    assert not any("…" in text for text in written)


def test_no_line_ends_between_a_number_and_its_unit():
    assert style.fitted("Halperin 2024 177Lu, 16 w", 24) == "Halperin 2024 177Lu,\n16 w"


@pytest.mark.parametrize("row", [0.19, 0.25, 0.36])
def test_rows_have_room_for_the_lines_of_their_labels(row):
    labels = [style.fitted(name, 24) for name in ("one", LONG[1], "two", LONG[0], LONG[0])]
    assert [label.count("\n") for label in labels] == [0, 2, 0, 1, 1]
    apart = row * np.diff(style.row_places(labels, row))
    lines = np.array([label.count("\n") + 1 for label in labels])
    assert (apart >= 9 / 72 * (lines[1:] + lines[:-1]) / 2).all()
    np.testing.assert_allclose(style.row_places(["one", "two"], row), [0, 1], atol=1e-9)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_forest_draws_every_estimate_and_interval():
    ratios = fake_results.hazard_ratios()
    ax = forest(ratios)
    points = [line for line in ax.lines if line.get_gid() == "estimate"]
    assert [line.get_xdata()[0] for line in points] == ratios["hr"].tolist()
    intervals = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2][: len(ratios)]
    np.testing.assert_array_equal(intervals, ratios[["lower", "upper"]])
    assert ax.get_xscale() == "log"
    for row in ratios.itertuples():
        assert format_interval(row.hr, row.lower, row.upper, row.mcse_hr) in texts(ax)


def test_forest_sets_no_limit_apart_hollow_and_labelled():
    ratios = fake_results.hazard_ratios()
    ax = forest(ratios)
    points = [line for line in ax.lines if line.get_gid() == "estimate"]
    hollow = [line.get_markerfacecolor() == "white" for line in points]
    assert hollow == ratios["biased"].tolist()
    assert BIASED in [text.replace("\n", " ") for text in texts(ax)]
    heights = [line.get_ydata()[0] for line in points]
    assert heights[10] - heights[9] > heights[8] - heights[7]
    assert BIASED not in texts(forest(ratios[~ratios["biased"]]))


def test_forest_has_each_printed_number_below_its_posterior_and_clear_of_every_other_row():
    ratios = fake_results.hazard_ratios()
    printed = np.where(ratios["arm"] == ratios["arm"].iloc[0], 0.7, np.nan)
    ax = forest(ratios.assign(printed=printed, printed_lower=0.9 * printed, printed_upper=1.1 * printed))
    heights = {
        gid: [x.get_ydata()[0] for x in ax.lines if x.get_gid() == gid] for gid in ("estimate", "printed")
    }
    of_printed = np.array(heights["estimate"])[~np.isnan(printed)]
    assert (heights["printed"] - of_printed > 0.5).all()  # the axis runs downwards
    assert np.diff(sorted([*heights["estimate"], *heights["printed"]])).min() > 0.5
    written = [text.xy[1] for text in ax.texts if text.get_text().startswith("\N{WHITE DIAMOND}")]
    assert written == heights["printed"]


def test_forest_cuts_wide_intervals_with_an_arrow():
    ratios = fake_results.hazard_ratios().assign(lower=0.001, upper=900.0)
    ax = forest(ratios)
    assert ax.get_xlim() == (0.1, 10.0)
    arrows = [line.get_marker() for line in ax.lines]
    assert arrows.count("<") == arrows.count(">") == len(ratios)


def test_forest_shows_no_estimate_whose_gate_failed():
    ratios = fake_results.hazard_ratios()
    failed = ratios["landmark"] == "48 w"
    ax = forest(ratios.assign(gate=np.where(failed, "failed", "passed")))
    points = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "estimate"]
    assert points == ratios.loc[~failed, "hr"].tolist()
    assert texts(ax).count("gate failed") == failed.sum()


def test_overview_draws_every_estimate_in_the_panel_of_its_endpoint():
    pfs = fake_results.hazard_ratios()
    os = pfs.assign(endpoint="os", hr=1 / pfs["hr"], lower=1 / pfs["upper"], upper=1 / pfs["lower"])
    panels = overview(pd.concat([pfs, os]), arms=fake_results.ARMS)
    assert [ax.get_title(loc="left") for ax in panels] == ["PFS", "OS"]
    for ax, rows in zip(panels, (pfs, os), strict=True):
        points = [line for line in ax.lines if line.get_gid() == "estimate"]
        assert [line.get_xdata()[0] for line in points] == rows["hr"].tolist()
        assert [line.get_markerfacecolor() == "white" for line in points] == rows["biased"].tolist()
        intervals = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
        np.testing.assert_array_equal(intervals, rows[["lower", "upper"]])
        heights = [line.get_ydata()[0] for line in points]
        assert heights == sorted(heights)
        assert len(ax.get_xticks()) == 3
        assert [patch.get_gid() for patch in ax.patches].count("biased") == 1
    assert [label.get_text() for label in panels[0].get_yticklabels()][-2:] == ["72 w", "no limit\n(biased)"]
    assert texts(panels[0]) == list(fake_results.ARMS)
    assert panels[0].get_legend() is None


def test_overview_cuts_marks_the_prior_and_draws_nothing_that_failed():
    ratios = fake_results.hazard_ratios()
    failed = ratios["landmark"] == "48 w"
    silent = ratios.assign(
        gate=np.where(failed, "failed", "passed"), contraction=np.where(ratios["landmark"] == "72 w", 0, 0.5)
    )
    (ax,) = overview(silent.assign(lower=0.01))
    points = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "estimate"]
    assert points == ratios.loc[~failed, "hr"].tolist()
    assert texts(ax).count("gate failed") == failed.sum()
    assert [line.get_marker() for line in ax.lines].count("<") == len(points)
    dotted = [line.get_linestyle() == ":" for line in ax.lines if line.get_gid() == "interval"]
    assert dotted == (silent.loc[~failed, "landmark"] == "72 w").tolist()


def test_survival_draws_bands_steps_and_censoring():
    bands, observed = fake_results.curves()
    ax = survival(bands, observed)
    for group, steps in observed.groupby("group", sort=False):
        (own,) = [line for line in ax.lines if np.array_equal(line.get_ydata(), steps["survival"])]
        np.testing.assert_array_equal(own.get_xdata(), steps["time"])
        assert own.get_drawstyle() == "steps-post"
        censored = steps[steps["n_censored"] > 0]
        assert any(np.array_equal(line.get_xydata(), censored[["time", "survival"]]) for line in ax.lines)
        band = bands[bands["group"] == group]
        median = [line for line in ax.lines if np.array_equal(line.get_ydata(), band["estimate"])]
        assert len(median) == 1
    assert len(ax.collections) == 2
    vertices = ax.collections[0].get_paths()[0].vertices[:, 1]
    first = bands[bands["group"] == FIRST]
    assert {*first["lower"], *first["upper"]} <= set(vertices)
    assert ax.get_xlabel() == "Months from the 150 d landmark"


def test_numbers_at_risk_are_those_just_before_each_tick():
    bands, observed = fake_results.curves()
    ax = survival(bands, observed)
    shown = [int(text.get_text()) for text in ax.texts if text.get_gid() == "at risk"]
    expected = [
        next((row.at_risk for row in steps.itertuples() if row.time >= tick), 0)
        for _, steps in observed.groupby("group", sort=False)
        for tick in ax.get_xticks()
    ]
    assert shown == expected
    given = pd.DataFrame({"group": [FIRST, SECOND], "time": [0.0, 0.0], "n": [41, 43]})
    ax = survival(bands, observed, given)
    assert [text.get_text() for text in ax.texts if text.get_gid() == "at risk"] == ["41", "43"]


def test_response_groups_share_the_colour_of_their_arm():
    bands, observed = fake_results.curves(("A, >= 30 %", "A, < 30 %"))
    ax = survival(bands.assign(arm="A"), observed, arms=("A",))
    assert {to_hex(line.get_color()).upper() for line in ax.lines} == {ARM_COLOURS[0]}
    assert len({line.get_linestyle() for line in ax.get_legend().get_lines()}) == 2


def test_baseline_hazard_steps_over_the_intervals():
    hazards = fake_results.baseline()
    ax = baseline_hazard(hazards)
    steps = [patch for patch in ax.patches if not patch.get_fill()]
    for (_, own), patch in zip(hazards.groupby("arm", sort=False), steps, strict=True):
        values, edges, _ = patch.get_data()
        np.testing.assert_array_equal(values, own["estimate"])
        np.testing.assert_array_equal(edges, [0, *own["end"]])


def test_hazard_ratios_by_time_step_over_the_intervals_around_a_line_at_1():
    ratios = fake_results.ratios_by_time()
    ax = hazard_ratio_by_time(ratios)
    steps = [patch.get_data() for patch in ax.patches if not patch.get_fill()]
    for (_, own), (values, edges, _) in zip(ratios.groupby("arm", sort=False), steps, strict=True):
        np.testing.assert_array_equal(values, own["estimate"])
        np.testing.assert_array_equal(edges, [0, *own["end"]])
    assert [line.get_ydata()[0] for line in ax.lines] == [1]
    assert ax.get_xlabel() == "Months from the landmark"
    at = hazard_ratio_by_time(ratios.assign(origin="the landmark at 36 w"))
    assert at.get_xlabel() == "Months from the landmark at 36 w"
    assert ax.get_yscale() == "log"
    assert 3 <= len(ax.get_yticks()) <= 6
    told = PATIENTS["hazard_ratio_by_time"].finding(ratios)
    assert f"{FIRST}, 0.70 from 0 to 3 months, 0.76 from 3 to 6 months, 0.82 from 6 to 12 months" in told


def test_waterfall_shows_every_patient_sorted_with_shrinkage_downwards():
    best = fake_results.best_change()
    ax = waterfall(best)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == sorted((-best["shrinkage"]).tolist(), reverse=True)
    levels = {line.get_ydata()[0] for line in ax.lines}
    assert levels == {-30, 0, 20}


def test_attrition_bars_add_up_to_all_patients():
    flow = fake_results.attrition()
    ax = attrition_flow(flow)
    widths: dict[float, float] = {}
    for bar in ax.patches:
        widths[bar.get_y()] = widths.get(bar.get_y(), 0) + bar.get_width()
    assert len(widths) == 12
    assert set(widths.values()) == {116}
    assert "94" in texts(ax)


def test_prior_and_posterior_are_drawn_as_given():
    """Each landmark and arm has a ridge, as high as the taller of its two densities."""
    densities = fake_results.densities()
    ax = prior_posterior(densities)
    ridges = {kind: [line for line in ax.lines if line.get_gid() == kind] for kind in ("prior", "posterior")}
    groups = [own for _, own in densities.groupby(["landmark", "arm"], sort=False)]
    assert len(ridges["prior"]) == len(ridges["posterior"]) == len(groups) == 6
    feet = []
    for own, prior, posterior in zip(groups, ridges["prior"], ridges["posterior"], strict=True):
        tallest = own[["prior", "posterior"]].max(axis=None)
        feet.append(prior.get_ydata()[0] + own["prior"].iloc[0] / tallest)
        for name, line in (("prior", prior), ("posterior", posterior)):
            np.testing.assert_allclose(line.get_xdata(), own["hr"])
            np.testing.assert_allclose((feet[-1] - line.get_ydata()) * tallest, own[name], atol=1e-9)
        assert prior.get_linestyle() == "--"
    assert np.diff(feet).min() >= 1  # so that no ridge reaches the one above
    assert [label.get_text() for label in ax.get_yticklabels()] == ["150 d", "72 w", "no limit"]
    assert [text for text in texts(ax) if text in fake_results.ARMS] == list(fake_results.ARMS)
    shaded = [patch.get_y() for patch in ax.patches if patch.get_gid() == "biased"]
    assert shaded == [foot - 1 for foot in feet[-2:]]


def test_a_ridge_whose_gate_failed_is_not_drawn():
    densities = fake_results.densities()
    failed = densities.assign(gate=np.where(densities["landmark"] == "72 w", "failed", "passed"))
    ax = prior_posterior(failed)
    assert sum(line.get_gid() == "posterior" for line in ax.lines) == 4
    assert texts(ax).count("gate failed") == 2
    said = PATIENTS["prior_posterior"].finding(failed)
    assert "72 w" not in said
    assert PATIENTS["prior_posterior"].finding(densities.assign(gate="failed")).endswith("; the gate failed.")


def test_what_ridges_show_is_said():
    """Medians before and after, how much narrower, and where the data hardly change the prior."""
    said = PATIENTS["prior_posterior"].finding(fake_results.densities())
    first, second = fake_results.ARMS
    assert f"{first}, 150 d: 1.00 to 0.87, 74 % narrower" in said
    assert f"{second}, 72 w: 1.00 to 0.71" in said
    assert said.endswith(f"; the data hardly change the prior of {first}, 72 w.")


def test_densities_without_landmarks_are_a_ridge_an_arm():
    alone = fake_results.densities().query("landmark == '150 d'")[["arm", "hr", "prior", "posterior"]]
    assert sum(line.get_gid() == "posterior" for line in prior_posterior(alone).lines) == 2
    assert f"{FIRST}: 1.00 to 0.87" in PATIENTS["prior_posterior"].finding(alone)


@pytest.mark.parametrize("kind", DRAWN)
def test_every_figure_is_as_wide_as_a_phone_shows_with_all_text_large_enough(kind):
    drawn = style.svg(DRAWN[kind](fake_results.ARMS))
    across = float(re.search(r' width="([0-9.]+)pt"', drawn)[1])
    smallest = min(map(float, re.findall(r"font[^;\"']*?([\d.]+)px", drawn)))
    assert across <= 280  # points: at 360 pixels 9 points are then 11.6 pixels
    assert smallest >= 9


def test_observed_curves_lie_over_grey_replicates():
    replicated, observed = fake_results.replicates()
    ax = ppc(replicated, observed)
    greys = {to_hex(band.get_facecolor()[0]) for band in ax.collections}
    assert greys == {"#a6a6a6"}
    for _, own in observed.groupby("arm"):
        assert any(np.array_equal(line.get_ydata(), own["survival"]) for line in ax.lines)


def test_an_arm_keeps_its_colour_when_drawn_alone():
    alone = fake_results.hazard_ratios().query("arm == @SECOND")
    ax = forest(alone, arms=fake_results.ARMS)
    marks = [line for line in ax.lines if line.get_gid() == "estimate"]
    assert {line.get_color() for line in marks} == {ARM_COLOURS[1]}


@pytest.mark.parametrize("kind", DRAWN)
def test_labels_from_data_stay_text(kind):
    svg = style.svg(DRAWN[kind](HOSTILE))
    tree = ElementTree.fromstring(svg)
    assert not [element for element in tree.iter() if element.tag.endswith("script")]
    shown = " ".join("".join(element.itertext()) for element in tree.iter() if element.tag.endswith("text"))
    assert "<script>alert(1)</script>" in shown
    assert "_ルテチウム" in shown


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_table_gives_the_same_file(kind, tmp_path):
    first = save(DRAWN[kind](fake_results.ARMS), tmp_path / "a.1")
    second = save(DRAWN[kind](fake_results.ARMS), tmp_path / "b")
    assert [path.name for path in first] == ["a.1.svg", "a.1.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "<metadata" not in first[0].read_text(encoding="utf-8")


def test_a_figure_is_laid_out_once_and_drawn_once_for_each_file(tmp_path, monkeypatch):
    drawn, original = [], style.Canvas.draw
    monkeypatch.setattr(style.Canvas, "draw", lambda self, to: drawn.append(to) or original(self, to))
    ax = DRAWN["forest"](fake_results.ARMS)
    engine = ax.figure.get_layout_engine()
    save(ax, tmp_path / "a")
    assert len(drawn) == 3
    assert ax.figure.get_layout_engine() is engine


def test_figures_leave_the_global_style_alone():
    before = dict(rcParams)
    for draw in DRAWN.values():
        draw(fake_results.ARMS)
    assert dict(rcParams) == before


def test_figures_draw_into_given_axes():
    ax = waterfall(fake_results.best_change())
    assert baseline_hazard(fake_results.baseline(), ax=ax) is ax


@pytest.mark.parametrize("kind", DRAWN)
def test_figures_have_few_options(kind):
    draws = overview if kind == "overview" else getattr(plots, kind)
    parameters = inspect.signature(draws).parameters.values()
    assert all(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
    panels = ["ax"] if kind != "overview" else []  # which has as many as there are endpoints
    assert [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] == [*panels, "arms"]


@pytest.mark.parametrize("arms", [("control", "177Lu-DOTATATE"), ("A", "B"), ("a" * 30, "b" * 30)])
@pytest.mark.parametrize("kind", ["forest", "survival", "ppc", "baseline_hazard"])
def test_no_legend_is_cut_off(kind, arms):
    ratios, bands = fake_results.hazard_ratios(arms), fake_results.curves(arms)
    drawn = {
        "forest": lambda: forest(ratios, arms=arms),
        "survival": lambda: survival(*bands, arms=arms),
        "ppc": lambda: ppc(*fake_results.replicates(arms), arms=arms),
        "baseline_hazard": lambda: baseline_hazard(fake_results.baseline(arms), arms=arms),
    }[kind]()
    FigureCanvasAgg(drawn.figure).draw()
    box = drawn.get_legend().get_window_extent()
    assert box.x1 <= drawn.figure.bbox.width
    least = 0.27 if kind == "forest" else 0.35  # a forest has its numbers beside it
    assert drawn.get_window_extent().width > least * drawn.figure.bbox.width  # nor squeezed to make room
