"""What informs what: labels, priors, refusals, specifications, and pools that have little in them."""

import re
import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from exposures import patients
from pools import (
    ARMS,
    POOLED,
    Graph,
    assert_exact,
    assumptions,
    evidence,
    log_effect,
    prrt,
    ratio,
    row,
    slope,
    specification,
    z_of,
)
from scipy import stats
from scipy.special import expit

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.participants import Participants
from bayes_net.assumptions.priors import Borrowing, Fixed, HalfCauchy, HalfNormal, Normal, probability_prior
from bayes_net.assumptions.synthesis import Assumptions, SlopePrior
from bayes_net.checks.influence import left_out
from bayes_net.data.landmarks import landmark_times
from bayes_net.errors import InputError, SpecificationError
from bayes_net.estimands.new_study import new_arm_effect
from bayes_net.inference.arrays import draw_prior, published_log_likelihood
from bayes_net.inference.synthesis import fit_synthesis
from bayes_net.labels import select
from bayes_net.results.synthesis import prior_table
from bayes_net.specification.read import parse_specification
from bayes_net.statistics.base import Quantity
from bayes_net.workflow.analysis import prepare
from bayes_net.workflow.describe import synthesis_in_words
from bayes_net.workflow.synthesis import tabulate

LANDMARKS = landmark_times(["150d", "36w", "72w", "no limit"])
DRAWS = 20_000


def usable(made):
    """The model has a finite density and gradient, the prior can be drawn, and the rows have densities."""
    graph = Graph(made)
    for x in (np.zeros(graph.size), *graph.points(2)):
        value, gradient = graph(x)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    draws = draw_prior(made, draws=100, seed=1)
    if len(made.rows):
        assert np.isfinite(published_log_likelihood(draws, made)).all()
    return draws


def tables(changes) -> dict:
    """Every table of a specification, with draws of the prior in place of the posterior."""
    prepared = prepare(specification(changes))
    draws = draw_prior(prepared.network, draws=200, seed=1)
    tree = xr.DataTree.from_dict({"posterior": draws, "prior": draws})
    return tabulate(tree, prepared, ci_prob=0.95)


# --- priors -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sloped(tmp_path_factory):
    rows = evidence([slope("S1", -0.05, 0.02, "150d", arm="control")], tmp_path_factory.mktemp("slopes"))
    return combine_network(rows, assumptions(landmarks=LANDMARKS, slopes=SlopePrior(length=0.8, level=0.3)))


def assert_covariance(draws, expected):
    """Covariances within 4 standard errors: of independent normal draws, sqrt((c_ii c_jj + c_ij^2) / n)."""
    variance = np.diag(expected)
    error = np.sqrt((np.outer(variance, variance) + expected**2) / len(draws))
    assert (np.abs(np.cov(draws.T) - expected) < 4 * error).all()


CARRIED = {"control": (1.6, 1.4, 1.1, 0.9), "177Lu": (1.1, 1.0, 0.9, 0.7)}


def tracking(sloped, sd=0.5, heterogeneity=0.25):
    """Slopes that track the slope on final shrinkage."""
    labels = [mark.label for mark in LANDMARKS]
    shares = {arm: dict(zip(labels, own, strict=True)) for arm, own in CARRIED.items()}
    prior = SlopePrior(Normal(0.1, sd), "tracking", heterogeneity=HalfNormal(heterogeneity), carried=shares)
    return replace(sloped, assumptions=replace(sloped.assumptions, slopes=prior))


def test_slopes_that_track_are_shares_of_the_slope_on_final_shrinkage(sloped):
    network = tracking(sloped)
    draws = draw_prior(network, draws=50, seed=1)
    shares = xr.DataArray(network.slope_shares, dims=("arm", "landmark"))
    expected = shares * draws["slope_mean"] + draws["slope_sd"] * draws["slope_z"]
    xr.testing.assert_allclose(draws["slope"], expected.transpose(*draws["slope"].dims))
    assert network.slope_shares[1].tolist() == list(CARRIED["177Lu"])


def test_one_slope_in_print_tells_of_that_on_final_shrinkage_in_closed_form(sloped):
    """Without deviations: normal in, normal out, at -0.5 (0.2) per 10 points, and 1.6 times the slope."""
    fit = fit_synthesis(tracking(sloped, heterogeneity=1e-6), seed=3)
    draws = fit["posterior"]["slope_mean"].sel(endpoint="pfs", arm="control").values
    precision = 1 / 0.5**2 + (1.6 / 0.2) ** 2
    mean, sd = (0.1 / 0.5**2 + 1.6 * -0.5 / 0.2**2) / precision, precision**-0.5
    assert_exact({"slope on final shrinkage": (draws, {"mean": mean, "sd": sd})})


def test_what_is_not_known_of_a_landmark_cannot_be_tracked(tmp_path):
    rows = evidence([slope("S1", -0.05, 0.02, "150d", arm="control")], tmp_path)
    for given, message in (
        ({}, "missing for control, 150 d"),
        ({"control": {"150 d": 1.0}}, "missing for 177Lu, 150 d"),
    ):
        prior = SlopePrior(structure="tracking", carried=given)
        with pytest.raises(InputError, match=message):
            combine_network(rows, assumptions(landmarks=LANDMARKS[:1], slopes=prior))


def test_prior_draws_of_slopes_have_the_stated_covariance(sloped):
    draws = draw_prior(sloped, draws=DRAWS, seed=4)["slope"].isel(chain=0)
    months = np.log([mark.months for mark in LANDMARKS[:3]])
    sd = np.log(1 / 0.375) / stats.norm.ppf(0.975)
    kernel = np.eye(4)
    kernel[:3, :3] = 0.3 + 0.7 * np.exp(-((months[:, None] - months) ** 2) / (2 * 0.8**2))
    whole = np.kron(np.eye(2), sd**2 * kernel)
    assert_covariance(draws.transpose("draw", "endpoint", "arm", "landmark").values.reshape(DRAWS, 8), whole)
    shares = ((np.exp(draws) > 0.375) & (np.exp(draws) < 1 / 0.375)).mean("draw")
    assert (np.abs(shares - 0.95) < z_of(8) * np.sqrt(0.95 * 0.05 / DRAWS)).all()


@pytest.mark.parametrize("structure", ["independent", "exchangeable"])
def test_prior_draws_of_other_structures_have_their_covariance(structure, sloped):
    """Exchangeable: the common mean's variance everywhere, and the mean square of a half-normal besides."""
    prior = SlopePrior(structure=structure, heterogeneity=HalfNormal(0.25))
    made = replace(sloped, assumptions=replace(sloped.assumptions, slopes=prior))
    draws = draw_prior(made, draws=DRAWS, seed=4)["slope"].isel(chain=0, endpoint=0, arm=1)
    sd = np.log(1 / 0.375) / stats.norm.ppf(0.975)
    if structure == "independent":
        assert_covariance(draws.transpose("draw", "landmark").values, sd**2 * np.eye(4))
    else:
        expected = sd**2 * np.ones((4, 4)) + 0.25**2 * np.eye(4)
        found = np.cov(draws.transpose("landmark", "draw").values)
        # a product of two normals has three times a normal's kurtosis: 4 errors, twice as large
        assert (np.abs(found - expected) < 8 * np.sqrt(2 / DRAWS) * expected[0, 0]).all()


def test_no_limit_has_a_slope_of_its_own_unless_it_is_given_a_place():
    alone = SlopePrior().covariance(LANDMARKS)
    assert (alone[3, :3] == 0).all()
    placed = SlopePrior(no_limit_months=LANDMARKS[2].months).covariance(LANDMARKS)
    np.testing.assert_allclose(placed[3, 3], placed[3, 2])
    np.testing.assert_allclose(np.diag(placed), placed[0, 0])


def test_prior_draws_keep_the_limits_that_are_stated():
    """95 % of hazard ratios, medians and probabilities of response between the specification's numbers."""
    draws = draw_prior(prrt(), draws=DRAWS, seed=5)
    ratio_of_arms = np.exp(draws["arm_effect_mean"].sel(pooled_endpoint="pfs"))
    inside = {
        "arm": (ratio_of_arms > 0.05) & (ratio_of_arms < 20),
        "response": (expit(draws["response_mean"]) > 0.02) & (expit(draws["response_mean"]) < 0.75),
        "level": (np.log(2) / np.exp(draws["level"].isel(baseline=0)) > 2)
        & (np.log(2) / np.exp(draws["level"].isel(baseline=0)) < 80),
        "early, late": (draws["early_late_correlation"] > -0.4) & (draws["early_late_correlation"] < 0.97),
    }
    for name, share in inside.items():
        assert abs(float(share.mean()) - 0.95) < z_of(4) * np.sqrt(0.95 * 0.05 / DRAWS), name
    bias = select(draws["bias"], biased_slope=("pfs", "control")).values
    mean, sd = prrt().bias_prior[0]
    assert bias.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(DRAWS))
    assert bias.std() == pytest.approx(sd, rel=4 / np.sqrt(2 * DRAWS))


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["robust mixture", "commensurate"])
def test_prior_draws_of_study_levels_are_the_mixture(kind, weight):
    borrowing = Borrowing(kind, sd=0.3, weight=weight, vague_sd=2.0)
    made = replace(prrt(), assumptions=replace(prrt().assumptions, study_level=borrowing))
    levels = draw_prior(made, draws=DRAWS, seed=6)["study_level"]
    levels = select(levels, borrower=("pfs", "ILUMINET")).values.ravel()
    for at in (0.2, 1.0, 3.0):
        share = weight * stats.norm.cdf(at / 0.3) + (1 - weight) * stats.norm.cdf(at / 2.0)
        error = np.sqrt(share * (1 - share) / DRAWS) + 1e-9
        assert abs((levels < at).mean() - share) < z_of(3) * error


def test_a_probability_prior_holds_what_it_says():
    prior = probability_prior(0.02, 0.75)
    np.testing.assert_allclose(expit(prior.mean + prior.sd * stats.norm.ppf([0.025, 0.975])), [0.02, 0.75])
    for limits in ((0.0, 0.5), (0.5, 0.5), (0.2, 1.0), (0.6, 0.3)):
        with pytest.raises(InputError, match="expected 0 < lower < upper < 1"):
            probability_prior(*limits)


def test_a_half_cauchy_has_half_its_draws_below_its_scale():
    draws = HalfCauchy(25.0).draw(np.random.default_rng(1), (DRAWS,))
    assert draws.min() >= 0
    assert (draws < 25.0).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(DRAWS))
    assert HalfCauchy(25.0).logpdf(0.0) == pytest.approx(np.log(2 / (np.pi * 25)))


def test_a_new_study_differs_from_the_mean_by_the_heterogeneity(tmp_path):
    rows = evidence([log_effect("E1", 0.1, 0.2, study="A"), log_effect("E2", 0.3, 0.2, study="B")], tmp_path)
    made = combine_network(rows, assumptions(arm_effect=Normal(0.0, 1.0), arm_heterogeneity=Fixed(0.7)))
    new = new_arm_effect(draw_prior(made, draws=DRAWS, seed=2), made, seed=3)
    assert new.values.std() == pytest.approx(np.hypot(1.0, 0.7), rel=4 / np.sqrt(2 * DRAWS))


# --- what is refused, and how -------------------------------------------------------------------------


def cohort(study="A", endpoint="pfs", **more) -> Participants:
    return Participants(study, endpoint, np.ones((2, 2)), np.full((2, 2), 10.0), **more)


def exposed(label, *, study="A", cuts=(4.0,), **more) -> Participants:
    return cohort(study, landmark=label, exposure=patients(30, arms=ARMS, cuts=cuts), **more)


MEDIAN = row("M1", "median", 29, n=96)
REFUSED = {
    "an arm that is not one": (
        [row("M1", "median", 29, n=96, arm="177Lu-X")],
        r"M1: arm '177Lu-X'; expected one of control, 177Lu",
    ),
    "arms the other way round": (
        [ratio("R1", 1.0, 0.2, arm="control", reference_arm="177Lu")],
        r"R1: control against 177Lu; expected 177Lu against control",
    ),
    "a third arm": ([log_effect("R1", 1.0, 0.2, arm="placebo")], r"R1: (arm 'placebo'|placebo against)"),
    "an unknown landmark": (
        [slope("S1", -0.05, 0.02, "122d")],
        r"S1: landmark '122 ?d'; expected one of 150 d, 36 w, 72 w, no limit",
    ),
    "a curve of a subgroup": (
        [row("M1", "median", 17.6, n=18, subgroup=">=30")],
        r'M1: the curve of the subgroup >=30.*use = "check"',
    ),
    "a count of a subgroup": (
        [row("C1", "count", 3, n=18, endpoint="response", subgroup=">=30")],
        r"C1.*subgroup",
    ),
    "a ratio of a subgroup": ([ratio("R1", -0.5, 0.2, subgroup=">=30")], r"R1.*subgroup"),
    "an odds ratio of something else": ([row("O1", "odds ratio", 2.0, p="0.04", endpoint="response")], "O1"),
    "a count of deaths": ([MEDIAN, row("C1", "count", 20, n=50, endpoint="os")], "C1"),
    "a count of completions": ([MEDIAN, row("C1", "count", 20, n=50, endpoint="completion")], "C1"),
    "survival of a response": (
        [row("P1", "survival", 0.5, lower=0.4, upper=0.6, time=5, endpoint="response")],
        "P1",
    ),
    "more with 30 points than with any": (
        [
            row("C1", "count", 20, n=50, endpoint="shrinkage", threshold=30),
            row("C2", "count", 10, n=50, endpoint="shrinkage", threshold=0),
        ],
        "C1|C2",
    ),
    "a threshold that nobody reaches": (
        [row("C1", "count", 5, n=50, endpoint="shrinkage", threshold=100)],
        "C1",
    ),
    "an id that is the name of another study": (
        [row("B", "median", 29, n=96), row("M2", "median", 20, n=50, study="B")],
        "B: the id of a row is the name of a study too",
    ),
    "nothing in the likelihood": (
        [row("M1", "median", 29, n=96, use="check")],
        "neither a published number with use = likelihood nor a cohort",
    ),
}


@pytest.mark.parametrize(("rows", "said"), REFUSED.values(), ids=REFUSED)
def test_rows_that_do_not_fit_are_refused_by_name(rows, said, tmp_path):
    with pytest.raises(InputError, match=said):
        combine_network(evidence(rows, tmp_path), assumptions(landmarks=LANDMARKS))


def test_every_row_that_does_not_fit_is_named_at_once(tmp_path):
    rows = [row("M1", "median", 29, n=96, arm="other"), slope("S1", -0.05, 0.02, "122d")]
    with pytest.raises(InputError, match=r"(?s)M1: .*S1: "):
        combine_network(evidence(rows, tmp_path), assumptions(landmarks=LANDMARKS))


REFUSED_COHORTS = {
    "nobody": ([], "neither a published number"),
    "a landmark that slopes do not have": ([exposed("122 d")], r"122 d.*150 d"),
    "two landmarks of one cohort": (
        [exposed("150 d"), exposed("36 w")],
        r"A pfs.*given twice.*Choose one landmark",
    ),
    "other intervals": (
        [exposed("150 d"), exposed("150 d", study="B", cuts=(4.0, 8.0))],
        r"\[2, 3\] intervals.*same number",
    ),
    "intervals of another number than the pool's": (
        [replace(cohort(), events=np.ones((2, 3)), person_time=np.ones((2, 3)))],
        "A",
    ),
    "a weight below 0": ([replace(cohort(), weight=-1.0)], "weight"),
}


@pytest.mark.parametrize(("cohorts", "said"), REFUSED_COHORTS.values(), ids=REFUSED_COHORTS)
def test_cohorts_that_do_not_fit_are_refused(cohorts, said):
    with pytest.raises(InputError, match=said):
        combine_network(None, assumptions(landmarks=LANDMARKS), cohorts=cohorts)


def test_patients_and_the_printed_numbers_of_the_same_patients_are_refused(tmp_path):
    """Both would count every event twice."""
    for printed in (ratio("R1", -0.5, 0.2), row("M1", "median", 12, n=60)):
        with pytest.raises(InputError, match=printed["id"]):
            combine_network(evidence([printed], tmp_path), assumptions(), cohorts=[cohort()])


@pytest.mark.parametrize(
    ("power", "said"),
    [
        ({"N99": 0.5}, r"rows N99 are not in the network; expected some of N01"),
        ({"N01": 1.5}, r"power 1\.5 of row N01 .* from 0 to 1"),
        ({"N01": -0.1}, r"power -0\.1 of row N01"),
        ({"N01": np.nan}, r"power nan of row N01"),
        ({"N05": 0.5}, r"rows N05 are not in the network"),
    ],
)
def test_powers_out_of_range_and_of_nothing_are_refused(power, said):
    with pytest.raises(InputError, match=said):
        prrt().with_power(power)


def test_a_power_of_a_study_is_one_of_all_its_rows():
    made = prepare(specification({"evidence.power": {"ILUMINET": 0.25, "N03": 0.5}})).network
    expected = [
        0.25 if study == "ILUMINET" else 0.5 if name == "N03" else 1.0
        for name, study in zip(made.rows["id"], made.rows["study"], strict=True)
    ]
    assert list(made.power) == expected


def test_leaving_out_a_study_takes_its_rows_and_patients(tmp_path):
    rows = [row("M1", "median", 29, n=96), row("M2", "median", 20, n=50, study="B")]
    made = combine_network(evidence(rows, tmp_path), assumptions(), cohorts=[cohort("C"), cohort("B", "os")])
    smaller = left_out(made, ["B"])
    assert list(smaller.power) == [1.0, 0.0]
    assert [c.weight for c in smaller.cohorts] == [1.0, 0.0]
    with pytest.raises(InputError, match="rows nobody are not in the network"):
        left_out(made, ["nobody"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"arms": ()}, "expected different arms"),
        ({"arms": ("a", "a")}, "expected different arms"),
        ({"smoothing": "rw2"}, "expected rw1 or independent"),
        ({"bias": {"x": (0.0, 1.0)}}, r"bias is given for \['x'\]; expected arms among control, 177Lu"),
        ({"cuts": (8.0, 3.0)}, "cuts"),
        ({"cuts": (0.0, 3.0)}, "cuts"),
    ],
)
def test_assumptions_that_contradict_themselves_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        assumptions(**options)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Borrowing("some"), "expected one of exchangeable, robust mixture"),
        (lambda: Borrowing(sd=0.0), "expected positive SDs"),
        (lambda: Borrowing(weight=1.1), "a weight from 0 to 1"),
        (lambda: SlopePrior(structure="linear"), "expected one of gaussian process"),
        (lambda: SlopePrior(length=0.0), "expected > 0, and from 0 to 1"),
        (lambda: SlopePrior(level=1.1), "expected > 0, and from 0 to 1"),
    ],
)
def test_unknown_rules_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


# --- pools with little in them ------------------------------------------------------------------------

COUNTS = {
    "nobody and everybody": (0, 50, 0),
    "everybody deeply": (50, 50, 50),
    "nobody at all": (0, 0, 0),
    "some": (5, 20, 9),
}
SMALL = {
    "one number": ([MEDIAN], {}),
    "one arm": ([MEDIAN], {"arms": ("177Lu",)}),
    "one arm, a slope": ([slope("S1", -0.05, 0.02, "150d")], {"arms": ("177Lu",)}),
    "one ratio": ([ratio("R1", -0.5, 0.2)], {}),
    "overall survival alone": ([row("M1", "median", 47, n=96, endpoint="os")], {}),
    "a slope alone": ([slope("S1", -0.05, 0.02, "150d")], {}),
    "a slope of overall survival": ([slope("S1", -0.05, 0.02, "150d", endpoint="os")], {}),
    "an odds ratio alone": ([row("O1", "odds ratio", 20.9, p="0.002", endpoint="completion")], {}),
    "a count alone": ([row("C1", "count", 5, n=50, endpoint="response")], {}),
    "a count of the first arm": ([row("C1", "count", 5, n=50, endpoint="response", arm="control")], {}),
    "a median not reached": ([row("M1", "median", "", lower=18.4, n=116)], {}),
    "one interval": ([MEDIAN], {"cuts": ()}),
    "one constant hazard": ([MEDIAN], {"cuts": (), "smoothing": "independent"}),
    "another reference": (
        [MEDIAN, row("M2", "median", 20, n=50, study="B", arm="control")],
        {"own_baseline": ("B",)},
    ),
    "known heterogeneity": (
        [ratio("R1", -0.5, 0.2), ratio("R2", -0.4, 0.2, study="B")],
        {"arm_heterogeneity": Fixed(0.2)},
    ),
}


@pytest.mark.parametrize(("rows", "options"), SMALL.values(), ids=SMALL)
def test_pools_with_little_in_them_work(rows, options, tmp_path):
    usable(combine_network(evidence(rows, tmp_path), assumptions(**{"landmarks": LANDMARKS} | options)))


@pytest.mark.parametrize(("deep", "some", "responses"), COUNTS.values(), ids=COUNTS)
def test_counts_of_nobody_and_of_everybody_work(deep, some, responses, tmp_path):
    rows = [
        row("C1", "count", deep, n=50, endpoint="shrinkage", threshold=30),
        row("C2", "count", some, n=50, endpoint="shrinkage", threshold=0),
        row("C3", "count", responses, n=50, endpoint="response"),
    ]
    usable(combine_network(evidence(rows, tmp_path), assumptions()))


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("label", ["", "150 d"])
def test_patients_alone_work_at_any_weight(weight, label):
    one = exposed(label, weight=weight) if label else cohort(weight=weight)
    draws = usable(combine_network(None, assumptions(landmarks=LANDMARKS), cohorts=[one]))
    assert ("slope" in draws) == bool(label)


def test_everything_at_power_zero_leaves_the_prior(tmp_path):
    made = combine_network(
        evidence([MEDIAN, ratio("R1", -0.5, 0.2)], tmp_path), assumptions(), power={"A": 0.0}
    )
    graph = Graph(made)
    x = graph.points(1)[0]
    n = len(graph.effects)
    scale = made.assumptions.step_sd.sd
    log_sd = x[n:]
    prior = -0.5 * (x[:n] ** 2).sum() + (log_sd - 0.5 * (np.exp(log_sd) / scale) ** 2).sum()
    start = graph(np.zeros(graph.size))[0] - (-0.5 / scale**2 * len(log_sd))
    assert graph(x)[0] - start == pytest.approx(prior, rel=1e-9)


def test_a_single_arm_study_of_the_treated_arm_is_not_taken_for_control(tmp_path):
    """Where nothing tells what the treatment does, its curve keeps the uncertainty of the arms' hazard ratio,
    and the curve of control is not that of the treated."""
    rows = evidence([row("M1", "median", 47, n=96, study="B", endpoint="os")], tmp_path)
    draws = draw_prior(combine_network(rows, assumptions()), draws=100, seed=1)
    treated, control = (select(draws["log_hazard"], curve=("os", "A", arm)).values for arm in reversed(ARMS))
    assert np.abs(treated - control).max() > 0.1


def test_a_third_arm_is_not_taken_for_the_second(tmp_path):
    rows = [row(f"M{k}", "median", 10 * k, n=50, arm=arm) for k, arm in enumerate((*ARMS, "third"), start=1)]
    try:
        made = combine_network(evidence(rows, tmp_path), assumptions(arms=(*ARMS, "third")))
    except InputError:
        return
    log_hazard = draw_prior(made, draws=50, seed=1)["log_hazard"]
    second, third = (select(log_hazard, curve=("pfs", "A", arm)).values for arm in ("177Lu", "third"))
    assert np.abs(second - third).max() > 0.1


def test_counts_of_patients_whose_names_join_to_one_id_are_refused(tmp_path):
    """Of study A and arm "B 177Lu", and of study "A B" and arm 177Lu, one would weigh the other."""
    counts = [row("A B 177Lu >= 30", "count", 9, n=20, threshold=30, endpoint="shrinkage")]
    made = combine_network(evidence(counts, tmp_path), assumptions())
    with pytest.raises(InputError, match="A B 177Lu >= 30 are in the network already"):
        made.with_rows(made.rows.assign(study="A B"))


def test_no_curve_is_made_up_for_an_arm_of_which_nothing_is_known(tmp_path):
    """Study B has a control arm on the baseline of study A, whose other arm appears with its hazard ratio."""
    points = [row(f"M-{study}", "median", 10, n=50, study=study, arm=ARMS[0]) for study in "AB"]
    made = combine_network(evidence(points, tmp_path), assumptions())
    assert set(made.curves) == {("pfs", study, ARMS[0]) for study in "AB"}
    alone = combine_network(evidence(points[1:], tmp_path), assumptions())
    assert set(alone.curves) == set(made.curves)
    compared = combine_network(evidence([*points, ratio("R", -0.5, 0.2)], tmp_path), assumptions())
    assert set(compared.curves) == {*made.curves, ("pfs", "A", ARMS[1])}
    usable(compared)


def test_labels_of_curves_effects_and_levels_are_those_of_the_evidence():
    made = prrt()
    assert set(made.curves) == {
        (endpoint, study, arm)
        for endpoint in ("pfs", "os")
        for study, arm in (("NETTER-1", "control"), ("NETTER-1", "177Lu"), ("ILUMINET", "177Lu"))
    }
    assert made.effects == (("pfs", "NETTER-1"), ("os", "NETTER-1"))
    assert made.borrowers == (("pfs", "ILUMINET"), ("os", "ILUMINET"))
    assert made.slope_endpoints == ("pfs",)
    assert not made.pools_effects


# --- specifications -----------------------------------------------------------------------------------

WRONG = {
    "an unknown key": ({"slopes.lenght": 1.0}, r"lenght.*length"),
    "an unknown section": ({"slope": {"length": 1.0}}, "slope"),
    "a flat prior": ({"slopes.hazard_ratio_per_10_points": "flat"}, r'"flat" is not possible in a synthesis'),
    "a flat prior of medians": ({"priors.median_months": "flat"}, r'"flat" is not possible in a synthesis'),
    "patients without a study": ({"cohorts": [{"synthetic": True, "synthetic_seed": 1}]}, "missing: study"),
    "patients of a study twice": (
        {"cohorts": [{"study": "S", "synthetic": True, "synthetic_seed": k} for k in (1, 2)]},
        r"study S twice: its patients would count twice",
    ),
    "one bracket": ({"cohorts": {"study": "S", "synthetic": True}}, r"expected \[\[cohorts\]\]"),
    "a landmark without cuts": (
        {"cohorts": [{"study": "S", "synthetic": True, "synthetic_seed": 1, "landmark": "36w"}]},
        "landmark and landmark_cuts belong together",
    ),
    "patients for nothing": (
        {"cohorts": [{"study": "S", "synthetic": True, "synthetic_seed": 1, "curve": False}]},
        "would inform nothing",
    ),
    "a power above 1": ({"evidence.power": {"N01": 1.5}}, "power"),
    "a correlation of one row": ({"evidence.correlation": {"N01": 0.5}}, "between two rows"),
    "an arm twice": ({"model.arms": ["control", "control"]}, "control twice"),
    "cuts by endpoint": ({"model.cuts": {"pfs": ["3mo"]}}, "shared by all endpoints"),
    "a bias of no arm": ({"bias.by_arm": {"placebo": [0.0, 0.1]}}, "placebo"),
    "a probability of 0": ({"priors.response_probability": [0.0, 0.5]}, "0 < lower < upper < 1"),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
def test_specifications_that_cannot_be_meant_are_refused(changes, said):
    with pytest.raises(SpecificationError, match=r"(?s)prrt_pooled\.toml: .*" + said):
        specification(changes)


def test_nothing_to_pool_is_refused():
    plain = specification()._plain
    plain.pop("evidence")
    with pytest.raises(SpecificationError, match="nothing to pool"):
        parse_specification(plain, where=POOLED)


PATIENTS = {"study": "S", "synthetic": True, "synthetic_seed": 1, "arm_names": {"177Lu-DOTATATE": "177Lu"}}
UNPREPARED = {
    "arms by other names": (
        {"cohorts": [PATIENTS | {"arm_names": {}}]},
        r"have arms 177Lu-DOTATATE; expected control, 177Lu.*arm_names",
    ),
    "a landmark without slopes": (
        {"cohorts": [PATIENTS | {"landmark": "122d", "landmark_cuts": ["6mo"]}]},
        r"122 d",
    ),
    "a study that is there as numbers": ({"cohorts": [PATIENTS | {"study": "NETTER-1"}]}, r"NETTER-1"),
    "a power of a row that is not there": ({"evidence.power": {"N99": 0.5}}, "N99"),
    "a use of a row that is not there": ({"evidence.use": {"N99": "check"}}, "N99"),
    "both hazard ratios of one trial": ({"evidence.use": {"N04": "likelihood"}}, "N03 and N04"),
    "both curves beside the ratio": ({"evidence.use": {"N05": "likelihood"}}, "N05"),
    "subgroups of an arm without any": (
        {"model.subgroups_of": "control"},
        "subgroups_of = 'control'.*of a subgroup",
    ),
    "a file that is not there": ({"evidence.files": ["data/nothing.csv"]}, "nothing.csv"),
}


@pytest.mark.parametrize(("changes", "said"), UNPREPARED.values(), ids=UNPREPARED)
def test_what_does_not_fit_the_data_is_refused_before_sampling(changes, said):
    with pytest.raises(InputError, match=said):
        prepare(specification(changes))


TABULATED = {
    "as shipped": {},
    "slopes held out": {"evidence.use": {"N10": "check", "N11": "check", "N12": "check"}},
    "slopes for the record": {"evidence.use": {"N10": "record", "N11": "record", "N12": "record"}},
    "no slope of no limit": {
        "slopes.landmarks": ["150d"],
        "evidence.use": {"N11": "check", "N12": "check"},
        "evidence.statements": False,
    },
    "one interval": {"model.cuts": []},
    "survival alone": {"evidence.only": ["os"]},
    "progression alone": {"evidence.only": ["pfs"]},
    "responses alone": {"evidence.only": ["response"]},
    "completion alone": {"evidence.only": ["completion"]},
    "one study": {"evidence.files": ["data/dosimetry.csv"], "model.reference": "ILUMINET"},
    "one arm": {
        "evidence.files": ["data/dosimetry.csv"],
        "model.arms": ["177Lu"],
        "model.reference": "ILUMINET",
        "bias.by_arm": {},
    },
    "no counts of shrinkage": {"evidence.use": dict.fromkeys(("N14", "N15", "N16", "N17"), "record")},
    "full borrowing": {"borrowing.level": {"kind": "full"}, "borrowing.response": {"kind": "full"}},
    "no borrowing": {"borrowing.level": {"kind": "none"}, "borrowing.response": {"kind": "none"}},
    "exchangeable": {"borrowing.level": {"kind": "exchangeable"}, "slopes.structure": "exchangeable"},
    "tracking": {"slopes.structure": "tracking"},
    "patients": {"cohorts": [PATIENTS | {"landmark": "36w", "landmark_cuts": ["6mo"]}]},
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("changes", TABULATED.values(), ids=TABULATED)
def test_every_specification_has_its_tables(changes):
    """From draws of the prior, whose far ends may overflow; nothing is sampled."""
    found = tables(changes)
    assert len(found["parameters"])
    for name in ("hazard_ratios", "arms_and_studies"):
        if len(found[name]):
            assert (found[name]["lower"] < found[name]["hr"]).all()
            assert (found[name]["hr"] < found[name]["upper"]).all()
    if len(found["survival"]):
        whole = found["survival"]
        assert whole[["lower", "estimate", "upper"]].isin([np.inf]).sum().sum() == 0
        assert (whole["lower"] <= whole["estimate"]).all()
        assert (whole["estimate"] <= whole["upper"]).all()


def test_the_digest_changes_with_the_content_and_not_with_the_seed_of_another_run():
    base = specification()
    assert specification().digest == base.digest
    assert specification({"bias.scale": 2.0}).digest != base.digest
    assert base.with_seed(None) is base
    assert base.with_seed(3).sampling.seed == 3


def test_the_public_specification_reads_back_as_itself(tmp_path):
    values = tomllib.loads(specification().public_toml())
    assert parse_specification(values, where=POOLED).digest == specification().digest
    # a list stands on one line: the report prints the whole specification
    assert 'arms = ["control", "177Lu"]\n' in specification().public_toml()


def test_assumptions_of_the_shipped_specification_are_its_words():
    a = specification({"bias.scale": 2.0, "slopes.no_limit_at": "72w"}).assumptions()
    assert isinstance(a, Assumptions)
    assert a.bias == {}
    biases = {"control": (-0.014, 0.007), "177Lu": (-0.013, 0.004)}
    found = prepare(specification()).network.assumptions.bias
    assert {arm: (round(m, 3), round(sd, 3)) for arm, (m, sd) in found.items()} == biases
    assert a.bias_scale == 2.0
    assert a.slopes.no_limit_months == pytest.approx(72 * 7 / 30.4375, rel=1e-3)
    assert a.study_level.mixes


def test_counts_of_patients_join_those_in_print():
    made = prepare(specification({"cohorts": [PATIENTS]})).network
    own = made.rows[made.rows["study"] == "S"]
    assert set(own["endpoint"]) == {"shrinkage", "response"}
    for arm in ARMS:
        by = own[(own["arm"] == arm)].set_index("id")["value"]
        assert by[f"S {arm} >= 30"] <= by[f"S {arm} >= 0"]
    assert isinstance(own, pd.DataFrame)
    assert made.power[made.rows["study"] == "S"].tolist() == [1.0] * len(own)


def test_the_priors_table_says_what_was_stated_and_what_it_implies():
    network = prrt()
    table = prior_table(xr.DataTree.from_dict({"prior": draw_prior(network, draws=4000, seed=1)}), network)
    told = table.set_index("parameter")
    of_correlation = told.loc["correlation of early with final shrinkage"]
    assert of_correlation["statement"] == "95 % of correlations between -0.4 and 0.97"
    assert of_correlation["implies"].startswith("odds ratio of response at completion: ")
    low, high = re.findall(r"[\d.]+", told.loc["hazard ratio per 10 points of shrinkage", "implies"])[:2]
    limits = np.exp(1.96 * network.assumptions.slopes.prior.sd)
    assert float(low) == pytest.approx(1 / limits, rel=0.15)
    assert float(high) == pytest.approx(limits, rel=0.15)
    assert not told["implies"].str.contains("e+", regex=False).any()


def test_the_model_in_words_names_what_the_specification_chose():
    words = synthesis_in_words(prrt())
    assert "robust mixture" in words["Curves"]
    assert "Gaussian process" in words["Slopes"]
    full = replace(
        prrt().assumptions, study_level=Borrowing("full"), slopes=SlopePrior(structure="independent")
    )
    other = synthesis_in_words(replace(prrt(), assumptions=full))
    assert "full pooling" in other["Curves"]
    assert "slope of its own" in other["Slopes"]
    assert "Patients" not in other


def test_curves_slopes_responses_and_shrinkage_share_no_parameter():
    """Every free variable of the shipped synthesis moves the numbers of one of them only; odds ratios of
    completion are predicted by the laws of shrinkage."""
    network = prrt()
    draws = draw_prior(network, draws=5, seed=1)
    before, moved = published_log_likelihood(draws, network).values, {}
    kind = np.array(["curve"] * len(network.rows), object)
    for name, quantity in (
        ("slope", Quantity.SLOPE),
        ("response", Quantity.SHARE),
        ("shrinkage", Quantity.RANGE),
        ("shrinkage", Quantity.COMPLETION),
    ):
        kind[network.is_of(quantity)] = name
    kind[(network.rows["endpoint"] == "shrinkage").to_numpy()] = "shrinkage"
    for name in network.free:
        changed = draws.assign({name: draws[name] * 1.1 + 0.1})
        different = (published_log_likelihood(changed, network).values != before).any((0, 1))
        moved[name] = set(kind[different])
    assert all(len(kinds) == 1 for kinds in moved.values()), moved
    assert {"curve", "slope", "response", "shrinkage"} == set.union(*moved.values())
