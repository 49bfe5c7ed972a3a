"""From printed digits to the modelling scale: estimates, standard errors and their correlations."""

from itertools import product
from math import log, sqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import median_survival_times
from scipy.stats import binom, norm

from bayes_net.errors import InputError
from bayes_net.evidence.pairs import correlation_matrix, impossible_curves
from bayes_net.evidence.table import read_evidence
from bayes_net.statistics.base import Datum
from bayes_net.statistics.curves import restricted_mean
from bayes_net.statistics.kinds import datum
from bayes_net.statistics.ratios import agrees
from bayes_net.statistics.rounding import feasible_regions

PER_POINT = "per +1 point of shrinkage"
DATA = Path(__file__).resolve().parents[3] / "models" / "data"


def row(statistic, value="", lower="", upper="", p="", **more):
    """A row as an evidence table has it, from the printed texts."""
    texts = {"value": value, "lower": lower, "upper": upper}
    numbers = {name: float(text or "nan") for name, text in texts.items()}
    printed = {f"printed_{name}": text for name, text in texts.items()}
    blank = {"id": "A1", "n": np.nan, "time": np.nan, "level": 95.0, "unit": "", "said": "", "publishing": ""}
    unknown = dict.fromkeys(["sd", "se", "events", "se_log_sd", "se_tilt"], np.nan)
    return SimpleNamespace(**blank | unknown | numbers | printed | {"statistic": statistic, "p": p} | more)


def feasible_se(*printed):
    """Smallest and largest standard error for which every number of a ratio rounds as printed, or None."""
    regions = feasible_regions(*printed, level=95.0, logs=True)
    return (np.vstack(regions)[:, 1].min(), np.vstack(regions)[:, 1].max()) if regions else None


# summary, estimate and standard error worked out apart from this code; compared to the last digit shown
SUMMARIES = {
    "control, 21 weeks": (("hazard ratio", "0.918", "0.865", "0.974", "0.005"), "-0.0856", "0.0303"),
    "control, no limit": (("hazard ratio", "0.967", "0.943", "0.991", "0.0065"), "-0.0339", "0.0125"),
    "177Lu, no limit": (("hazard ratio", "1.002", "0.99", "1.02", "0.7808"), "0.0020", "0.0079"),
    "arms": (("hazard ratio", "0.18", "0.11", "0.29", "<0.0001"), "-1.715", "0.247"),
    "arms, update": (("hazard ratio", "0.21", "0.14", "0.33"), "-1.561", "0.219"),
    "S(20) 177Lu": (("survival", "0.652", "0.500", "0.768"), "-0.849", "0.246"),
    "S(20) control": (("survival", "0.108", "0.035", "0.230"), "0.800", "0.210"),
    "odds ratio, p only": (("odds ratio", "20.9", "", "", "0.002"), "3.040", "0.984"),
    "final OS": (("hazard ratio", "0.84", "0.60", "1.17", "0.30"), "-0.174", "0.170"),
    "NETTER-2": (("hazard ratio", "0.276", "0.182", "0.418"), "-1.287", "0.212"),
    "COMPETE": (("hazard ratio", "0.67", "0.48", "0.95", "0.022"), "-0.400", "0.174"),
    "GREPONET": (("hazard ratio", "3.75", "2.21", "6.34"), "1.322", "0.269"),
    "Lamarca": (("hazard ratio", "0.55", "0.3", "0.9", "0.04"), "-0.598", "0.29"),
    "Alipour": (("odds ratio", "1.5", "1.1", "2.0", "0.002"), "0.405", "0.153"),
}


@pytest.mark.parametrize(("printed", "value", "se"), SUMMARIES.values(), ids=SUMMARIES)
def test_printed_summaries_give_their_estimate_and_standard_error(printed, value, se):
    found = datum(row(*printed))
    assert f"{found.value:.{len(value.split('.')[1])}f}" == value
    assert f"{found.se:.{len(se.split('.')[1])}f}" == se
    assert found.kind == ("student" if printed[0] == "odds ratio" and not printed[2] else "normal")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("control, 21 weeks", "0.0301", "0.0306"),
        ("control, no limit", "0.0124", "0.0125"),
        ("177Lu, no limit", "0.0067", "0.0090"),
        ("odds ratio, p only", "0.957", "1.006"),
        ("final OS", "0.167", "0.174"),
        ("COMPETE", "0.172", "0.176"),
    ],
)
def test_feasible_standard_errors_reach_as_far_as_the_digits_allow(name, low, high):
    _, *printed = SUMMARIES[name][0]
    found = feasible_se(*printed)
    assert [f"{one:.{len(low) - 2}f}" for one in found] == [low, high]


def test_every_feasible_standard_error_gives_back_the_printed_digits():
    """At either end some estimate rounds to 0.918 (0.865-0.974), p 0.005; a little beyond none does."""
    low, high = feasible_se("0.918", "0.865", "0.974", "0.005")

    def reproduced(se):
        beta = np.log(np.linspace(0.9175, 0.9185, 4001))
        z, p = 1.959964, 2 * norm.sf(np.abs(beta) / se)
        printed = zip(np.exp(beta), np.exp(beta - z * se), np.exp(beta + z * se), p, strict=True)
        return any(
            (f"{a:.3f}", f"{b:.3f}", f"{c:.3f}", f"{d:.3f}") == ("0.918", "0.865", "0.974", "0.005")
            for a, b, c, d in printed
        )

    assert reproduced(low + 1e-6)
    assert reproduced(high - 1e-6)
    assert not reproduced(low - 1e-5)
    assert not reproduced(high + 1e-5)


@pytest.mark.parametrize("name", ["Lamarca", "Alipour"])
def test_contradicting_digits_have_no_feasible_standard_error(name):
    statistic, *printed = SUMMARIES[name][0]
    assert feasible_se(*printed) is None
    assert not agrees(row(statistic, *printed), logs=True)


def test_trailing_zeros_count():
    """0.60 leaves less open than 0.6, and a p-value below a bound is agreed with by any smaller one."""
    wide, narrow = feasible_se("0.85", "0.6", "1.2", "0.4"), feasible_se("0.85", "0.60", "1.20", "0.36")
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert agrees(row("hazard ratio", "0.18", "0.11", "0.29", "<0.0001"), logs=True)
    assert not agrees(row("hazard ratio", "0.84", "0.60", "1.17", "<0.0001"), logs=True)
    assert not agrees(row("hazard ratio", "0.18", "0.11", "0.29", ">0.05"), logs=True)


def test_log_effects_stay_on_their_own_scale():
    found = datum(row("log effect", "-0.40", "-0.74", "-0.06"))
    assert (found.value, found.kind) == (-0.40, "normal")
    assert found.se == pytest.approx(0.68 / (2 * 1.959964), rel=1e-6)


def test_a_log_effect_is_taken_with_its_printed_standard_error():
    found = datum(row("log effect with SE", "-0.40", unit="SE 0.17"))
    assert (found.value, found.se, found.kind) == (-0.40, 0.17, "normal")


def test_ratio_with_p_value_only_gets_its_standard_error_from_it():
    found = datum(row("hazard ratio", "0.50", p="0.05"))
    assert found.se == pytest.approx(log(2) / 1.959964, rel=1e-6)
    assert found.kind == "normal"


def test_more_shrinkage_is_longer_survival_whichever_sign_the_paper_uses():
    """0.918 per point of shrinkage is 1.089 (1.027-1.156) per point of PCHG; ten points: ten logs."""
    shrinkage = datum(row("hazard ratio per point", "0.918", "0.865", "0.974", "0.005", unit=PER_POINT))
    change = row("hazard ratio per point", "1.089", "1.027", "1.156", "0.005", unit="per +1 point of PCHG")
    assert shrinkage.value == pytest.approx(10 * log(0.918), rel=1e-12)
    assert f"{np.exp(datum(change).value / 10):.3f}" == "0.918"
    assert datum(change).se == pytest.approx(shrinkage.se, abs=0.003)
    assert f"{np.exp(datum(change).value):.3f}" == "0.425"


def test_medians_say_where_the_cumulative_hazard_is_log_two():
    free = datum(row("median", "8.5", n=113.0))
    assert (free.value, free.time, free.inflated) == (pytest.approx(log(log(2))), 8.5, True)
    assert f"{free.se:.3f}" == "0.136"
    limits = datum(row("median", "36.3", "25.9", "51.7", n=114.0))
    assert limits.se == pytest.approx(1.25 * log(51.7 / 25.9) / (2 * 1.959964), rel=1e-6)
    assert not limits.inflated


def test_printed_widths_cannot_beat_the_number_of_patients():
    """17.6 (16.5-30.3) of 18 patients: the width gives 0.155, the patients no less than 0.34."""
    assert datum(row("median", "17.6", "16.5", "30.3", n=18.0)).se == pytest.approx(1 / (log(2) * sqrt(18)))


def test_median_without_upper_limit_uses_the_lower_half():
    found = datum(row("median", "20.0", "15.0", n=400.0))
    assert found.se == pytest.approx(1.25 * log(20 / 15) / 1.959964, rel=1e-6)


def test_median_not_reached_is_read_at_its_lower_limit():
    found = datum(row("median", "", "31.0", n=18.0))
    assert (f"{found.value:.2f}", f"{found.se:.2f}", found.time) == ("-1.03", "0.34", 31.0)


def test_a_restricted_mean_is_the_area_under_the_curve_until_its_horizon():
    found = datum(row("restricted mean", "10.0", "9.0", "11.0", time=24.0))
    assert (found.value, found.time, found.kind) == (10.0, 24.0, "normal")
    assert found.se == pytest.approx(1 / 1.959964, rel=1e-6)
    # of a constant hazard (1 - exp(-h t)) / h, in one interval or in several; without an end its mean, 1 / h
    h, months = 0.05, np.array([[24.0, 0.0, 0.0], [3.0, 5.0, 16.0], [10.0, 10.0, 1e6]])
    exact = [(1 - np.exp(-h * 24)) / h] * 2 + [1 / h]
    np.testing.assert_allclose(restricted_mean(np.full(3, h), months), exact, rtol=1e-12)
    # nobody has an event where there is no hazard
    assert restricted_mean(np.array([1e-14, 1e-14]), np.array([8.0, 16.0])) == pytest.approx(24.0, rel=1e-10)


def test_counts_stay_counts():
    found = datum(row("count", "15", n=96.0))
    assert (found.kind, found.successes, found.n, found.value) == ("binomial", 15, 96, 15 / 96)
    assert np.isnan([found.se, found.time]).all()


def test_percentages_of_ninety_six_have_one_solution():
    """16, 66 and 19 percent, though they sum to 101."""
    fits = [
        (a, b, 96 - a - b)
        for a, b in product(range(97), repeat=2)
        if a + b <= 96 and [round(100 * k / 96) for k in (a, b, 96 - a - b)] == [16, 66, 19]
    ]
    assert fits == [(15, 63, 18)]


def test_other_statistics_have_no_likelihood():
    with pytest.raises(InputError, match=r"A1: statistic 'rate'.*use = record"):
        datum(row("rate", "0.18"))


def curve_rows(value):
    return pd.DataFrame(
        {"id": ["A1", "A2", "A3"], "correlated_with": ["", "A1", ""], "correlation": ["", value, ""]}
    )


CONTROL = (
    datum(row("median", "8.5", n=113.0)),
    datum(row("survival", "0.108", "0.035", "0.230", id="A2", time=20.0)),
    datum(row("count", "7", n=86.0, id="A3")),
)


def test_errors_of_one_curve_correlate_by_its_independent_increments():
    """V(8.5) is 1/113 and V(20) 0.219, so the correlation is about 0.2; the binomial has no part in it."""
    matrix = correlation_matrix(curve_rows("curve"), CONTROL)
    assert matrix.shape == (2, 2)
    assert matrix[0, 1] == matrix[1, 0] == pytest.approx(sqrt((1 / 113) / 0.2193), abs=0.001)
    assert f"{matrix[0, 1]:.1f}" == "0.2"
    assert correlation_matrix(curve_rows("0.58"), CONTROL)[0, 1] == 0.58


def test_correlation_formula_agrees_with_simulated_curves():
    """Corr(log H(s), log H(t)) of Nelson-Aalen estimates, 4000 samples of 200 exponential times.

    The formula's large-sample variance V(t) = (exp(t) - 1) / 200; three standard errors of a correlation are
    0.05, and what is left of order 1 / n is well below.
    """
    rng = np.random.default_rng(20261)
    times = np.sort(rng.exponential(size=(4000, 200)), axis=1)
    steps = 1 / np.arange(200, 0, -1)
    h = [np.log(np.where(times <= t, steps, 0).sum(axis=1)) for t in (0.5, 1.5)]
    data = [
        Datum(name, "normal", log(t), sqrt((np.exp(t) - 1) / 200) / t, time=t)
        for name, t in (("A1", 0.5), ("A2", 1.5))
    ]
    expected = correlation_matrix(curve_rows("curve"), data)[0, 1]
    assert np.corrcoef(h)[0, 1] == pytest.approx(expected, abs=0.05)


# --- hazard ratio of the arms and a point of a curve ---------------------------------------------------

SIZES = {"old": 113, "new": 116}


def arm_rows(arm="old"):
    """A hazard ratio of all patients, and two points of the curve of one arm."""
    common = {"cohort_id": "A", "endpoint": "pfs", "subgroup": "all"}
    points = [
        row("survival", value, "0.1", "0.6", id=f"P{k}", arm=arm, n=SIZES[arm], time=10.0 * k)
        for k, value in enumerate(("0.5", "0.2"), start=1)
    ]
    effect = row("hazard ratio", "0.18", "0.11", "0.29", id="R", arm="new", n=229.0)
    rows = [vars(one) | common for one in (*points, effect)]
    declared = {"correlated_with": ["", "P1", "P1;P2"], "correlation": ["", "curve", "arms;arms"]}
    return pd.DataFrame(rows).assign(**declared, reference_arm=["", "", "old"])


def cox(time, event, treated):
    """Log hazard ratios of two arms, (trial,), by Newton's method on each trial's partial likelihood."""
    order = np.argsort(time, axis=1)
    event = np.take_along_axis(event, order, axis=1)
    new = np.take_along_axis(np.broadcast_to(treated, time.shape), order, axis=1)
    at_risk = [own[:, ::-1].cumsum(axis=1)[:, ::-1] for own in (~new, new)]
    found = np.zeros((len(time), 1))
    for _ in range(12):
        share = at_risk[1] * np.exp(found) / (at_risk[0] + at_risk[1] * np.exp(found))
        score, information = (event * (new - share)).sum(axis=1), (event * share * (1 - share)).sum(axis=1)
        found = found + (score / information)[:, None]
    return found[:, 0]


@pytest.fixture(scope="module")
def two_arm_trials():
    """Of 4000 trials of NETTER-1's size, with Weibull hazards and staggered entry: the log hazard ratio, and
    by Kaplan-Meier log(-log S) of either arm where the control curve is at 0.5 and at 0.11."""
    rng, ratio, treated = np.random.default_rng(20262), 0.18, np.arange(229) >= 113
    time = 11.1 * (rng.exponential(size=(4000, 229)) / np.where(treated, ratio, 1.0)) ** (1 / 1.36)
    end = rng.uniform(5, 40, time.shape)
    event, time = time <= end, np.minimum(time, end)
    logs = {}
    for name, own in (("old", ~treated), ("new", treated)):
        order = np.argsort(time[:, own], axis=1)
        months, died = (np.take_along_axis(x[:, own], order, axis=1) for x in (time, event))
        steps = np.where(died, np.log1p(-1 / np.maximum(np.arange(own.sum(), 0, -1), 1.001)), 0.0)
        logs[name] = [np.log(-np.where(months <= at, steps, 0.0).sum(axis=1)) for at in (8.5, 20.0)]
    return cox(time, event, treated), logs


@pytest.mark.parametrize("arm", SIZES)
def test_a_hazard_ratio_and_a_curve_correlate_as_simulated_trials_say(arm, two_arm_trials):
    """With the standard errors that the trials show, within four standard errors (1 - r^2) / sqrt(4000); 0.03
    and 0.06 besides for what is of order 1/n where few are at risk, a dozen control patients at 20 months."""
    effect, logs = two_arm_trials
    points = [Datum(f"P{k}", "normal", x.mean(), x.std(), time=k) for k, x in enumerate(logs[arm], start=1)]
    found = correlation_matrix(arm_rows(arm), [*points, Datum("R", "normal", effect.mean(), effect.std())])
    for k, x in enumerate(logs[arm]):
        simulated = np.corrcoef(effect, x)[0, 1]
        assert abs(found[k, 2] - simulated) < 4 * (1 - simulated**2) / sqrt(4000) + 0.03 * k


def test_netter_1s_hazard_ratio_correlates_with_its_control_curve():
    """By hand: -0.247 p / SE, p = 0.20 and 0.32 averaging 1 / (1 + 113 / (116 x 0.18) e^(-0.82 H))."""
    shipped = read_evidence(DATA / "netter1.csv").rows("likelihood")
    rows = shipped[shipped["id"].isin(["N01", "N02", "N03"])]
    matrix = correlation_matrix(rows, [datum(one) for one in rows.itertuples()])
    np.testing.assert_allclose(matrix[2, :2], [-0.31, -0.38], atol=0.01)


def test_of_equal_arms_without_an_effect_each_has_half_of_the_hazard():
    data = [Datum("P1", "normal", 0.0, 0.2), Datum("P2", "normal", 0.5, 0.2), Datum("R", "normal", 0.0, 0.1)]
    for arm, half in (("old", -0.25), ("new", 0.25)):
        equal = arm_rows(arm).assign(n=[100.0, 100.0, 200.0])
        np.testing.assert_allclose(correlation_matrix(equal, data)[2, :2], half, rtol=1e-12)


# --- a median and a survival of one curve, as trials print them -----------------------------------------

MEDIAN_MONTHS, MONTH, PATIENTS = 10.0, 12.0, 100


def printed_points(rng):
    """Median and S(12) with their limits, as printed of an exponential trial with censoring.

    A median of 12.0 months would be the same point of the curve, and is refused as such.
    """
    time, end = rng.exponential(MEDIAN_MONTHS / log(2), PATIENTS), rng.uniform(12, 36, PATIENTS)
    curve = KaplanMeierFitter().fit(np.minimum(time, end), time <= end)
    limits = median_survival_times(curve.confidence_interval_).to_numpy().ravel()
    median = [f"{x:.2f}" if np.isfinite(x) else "" for x in (curve.median_survival_time_, *limits)]
    band = curve.confidence_interval_[curve.confidence_interval_.index <= MONTH].iloc[-1]
    survival = [f"{x:.2f}" for x in (curve.predict(MONTH), *band)]
    return (
        row("median", *median, n=float(PATIENTS)),
        row("survival", *survival, id="A2", time=MONTH),
    )


@pytest.fixture(scope="module")
def trials():
    """(datum of the median, datum of S(12), their correlation) of 400 trials."""
    rng, found = np.random.default_rng(1), []
    for _ in range(400):
        points = [datum(one) for one in printed_points(rng)]
        found.append((*points, correlation_matrix(curve_rows("curve"), points)[0, 1]))
    return found


def test_no_pair_of_points_of_one_curve_is_refused(tmp_path):
    """Of 40 trials, many of which print a wider error of the earlier cumulative hazard."""
    rng, contradictions, path = np.random.default_rng(2), 0, tmp_path / "rows.csv"
    common = {"study": "A", "cohort_id": "A", "arm": "new", "subgroup": "all", "endpoint": "pfs", "level": 95}
    common |= {"use": "likelihood", "source": "simulated", "section": "1"}
    for _ in range(40):
        points = printed_points(rng)
        names = ("id", "statistic", "n", "time")
        rows = [{name: getattr(one, name) for name in names} | common for one in points]
        for made, one in zip(rows, points, strict=True):
            made |= {name: getattr(one, f"printed_{name}") for name in ("value", "lower", "upper")}
            made |= {"unit": "months"} if one.statistic == "median" else {}
        pd.DataFrame(rows).to_csv(path, index=False)
        found = read_evidence(path, correlation={("A1", "A2"): "curve"})
        data = [datum(one) for one in found.table.itertuples()]
        early, late = sorted(data, key=lambda point: point.time)
        wider = early.se * np.exp(early.value) >= late.se * np.exp(late.value)
        assert impossible_curves(found.table, data) == ([(early.id, late.id)] if wider else [])
        contradictions += wider
    assert contradictions >= 9


def covered(z):
    """How many lie inside, and the fewest and most of them that chance explains once in a thousand times."""
    return (np.abs(z) < norm.ppf(0.975)).sum(), *binom.ppf([0.0005, 0.9995], len(z), 0.95)


def test_intervals_of_both_points_cover_the_curve(trials):
    """log H at the printed median and at 12 months; the width of a median's limits is on the safe side."""
    for which, safe in ((0, True), (1, False)):
        points = [trial[which] for trial in trials]
        truth = [log(log(2) * point.time / MEDIAN_MONTHS) for point in points]
        z = [(point.value - true) / point.se for point, true in zip(points, truth, strict=True)]
        inside, fewest, most = covered(z)
        assert fewest <= inside <= (len(z) if safe else most)


def test_what_both_points_say_together_covers_the_hazard(trials):
    """The log hazard by generalised least squares, where a correlation that is too large says too much."""
    z = []
    for median, survival, correlation in trials:
        points = (median, survival)
        se = np.array([point.se for point in points])
        weight = np.linalg.solve(np.outer(se, se) * [[1, correlation], [correlation, 1]], np.ones(2))
        assert (weight > -1e-9 * weight.max()).all()
        estimates = [point.value - log(point.time) for point in points]
        error = weight @ estimates / weight.sum() - log(log(2) / MEDIAN_MONTHS)
        z.append(error * sqrt(weight.sum()))
    inside, fewest, most = covered(z)
    assert fewest <= inside <= most


def test_points_of_one_curve_have_the_covariance_of_one_variance():
    """V(s) / (H(s) H(t)) with V(s) of the later point where the earlier tells of fewer patients."""
    h, n = np.array([0.5, 0.9, 1.6]), np.array([60.0, 120.0, 40.0])
    points = [
        Datum(f"A{i}", "normal", log(x), sqrt(np.expm1(x) / size) / x, time=10 * x)
        for i, (x, size) in enumerate(zip(h, n, strict=True), 1)
    ]
    rows = pd.DataFrame(
        {
            "id": ["A1", "A2", "A3"],
            "correlated_with": ["", "A1", "A1;A2"],
            "correlation": ["", "curve", "curve;curve"],
        }
    )
    se = np.array([point.se for point in points])
    covariance = correlation_matrix(rows, points) * np.outer(se, se)
    for s, t in ((0, 1), (0, 2), (1, 2)):
        expected = np.expm1(h[s]) / max(n[s], n[t]) / (h[s] * h[t])
        assert covariance[s, t] == pytest.approx(expected, rel=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert not impossible_curves(rows, points)


def test_points_that_are_one_as_rounded_leave_something_between_them():
    same = [
        datum(row("survival", "0.50", "0.40", "0.59", id=id, time=time))
        for id, time in (("A1", 12.0), ("A2", 12.1))
    ]
    assert correlation_matrix(curve_rows("curve"), same)[0, 1] == 0.99
