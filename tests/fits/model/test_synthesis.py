"""The synthesis model's density and posterior against closed forms, quadrature and published answers.

Four models are sampled: the shipped synthesis, slopes alone, the eight schools, and the patients of four
trials. Everything else evaluates log densities.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pools import (
    ARMS,
    PER_POINT_PCHG,
    Density,
    Graph,
    assert_exact,
    assert_same,
    assumptions,
    direction,
    evidence,
    log_effect,
    prrt,
    ratio,
    row,
    slope,
    specification,
)
from said import correlations, log_factor
from scipy import integrate, special, stats
from test_definitions import BIAS, LANDMARKS, SLOPES

from bayes_net.assumptions.combine import combine_network, with_labels
from bayes_net.assumptions.participants import Participants
from bayes_net.assumptions.priors import Borrowing, Fixed, HalfCauchy, HalfNormal, Normal
from bayes_net.assumptions.synthesis import SlopePrior
from bayes_net.checks.influence import REFITTED, leave_one_number_out, left_out
from bayes_net.data.intervals import person_time
from bayes_net.data.landmarks import landmark
from bayes_net.errors import InputError
from bayes_net.estimands.new_study import new_arm_effect
from bayes_net.estimands.synthesis import (
    Prediction,
    checks,
    log_hazards_of,
    profiles,
    subgroup_bounds,
)
from bayes_net.evidence.table import Evidence
from bayes_net.inference.arrays import draw_prior, published_log_likelihood
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.synthesis import drawn_from, fit_synthesis, moved_fit
from bayes_net.labels import select
from bayes_net.results.synthesis import hazard_ratios
from bayes_net.schema import MOVED
from bayes_net.simulate.cohort import simulate_cohort
from bayes_net.workflow.analysis import prepare

EXACT = Sampler(draws=2000, tune=800, target_accept=0.95)
CURVES_OF_NETTER = ["Halperin 2024", "ILUMINET"]


def draws_of(fit, name, **at) -> np.ndarray:
    """Draws (chain, draw) of one scalar."""
    return select(fit["posterior"][name], **at).transpose("chain", "draw").values


# --- the graph equals the equations -------------------------------------------------------------------

PATIENTS = {
    "cohorts": [
        {
            "study": name,
            "synthetic": True,
            "synthetic_seed": seed,
            "arm_names": {"177Lu-DOTATATE": "177Lu"},
            "landmark": "36w",
            "landmark_cuts": ["6mo", "12mo"],
            "weight": weight,
        }
        for name, seed, weight in (("NETTER-1", 1, 1.0), ("second", 2, 0.5))
    ],
    "evidence.files": ["data/mid_treatment.csv", "data/dosimetry.csv"],
    "evidence.use": {"D05": "record"},
    "model.own_baseline": ["second"],
}


@pytest.fixture(scope="module")
def with_patients():
    """A pool of two trials' patients and two studies' numbers, and the patients themselves."""
    made = prepare(specification(PATIENTS)).network
    followed, stacked = [], []
    for cohort, seed in zip(made.cohorts, (1, 2), strict=True):
        people = simulate_cohort(seed=seed)
        names = {"177Lu-DOTATATE": "177Lu"}
        table = people.patients.assign(arm=people.patients["arm"].astype(str).replace(names))
        table = table.rename(columns={"pfs_time": "time", "pfs_event": "event"})
        at = landmark(people, ["36w"], endpoint="pfs").at("36 w")
        at = at.assign(arm=at["arm"].astype(str).replace(names))
        followed.append((cohort.study, "pfs", cohort.weight, table))
        stacked.append((cohort.study, "pfs", "36 w", (6.0, 12.0), cohort.weight, at))
    return made, {"patients": followed, "stacked": stacked}


def assert_graph_is(density, graph, points, *, rtol):
    """Equal log densities up to one constant, and equal gradients, along a direction of each point's own."""
    rng = np.random.default_rng(8)
    ours = np.array([density(x) for x in points])
    theirs, gradients = zip(*(graph(x) for x in points), strict=True)
    np.testing.assert_allclose(np.array(theirs) - theirs[0] + ours[0], ours, rtol=rtol)
    for x, found in zip(points, gradients, strict=True):
        along = direction(len(x), rng)
        expected = density.slope_along(x, along)
        np.testing.assert_allclose(found @ along, expected, rtol=0, atol=1e-9 * np.abs(found).max())


@pytest.mark.parametrize("power", [{}, {"N02": 0.5, "N11": 0.25, "H04": 0.5, "D01": 0.25, "N20": 0.0}])
def test_the_graph_of_published_numbers_equals_the_equations(power):
    made = prrt().with_power(power)
    graph = Graph(made)
    # sums of a hundred terms
    assert_graph_is(Density(made, graph), graph, graph.points(), rtol=1e-9)


def test_the_graph_with_patients_equals_the_equations(with_patients):
    made, people = with_patients
    graph = Graph(made)
    # exposure at a landmark is compressed to Gauss nodes, with an error below 1e-9 of it
    assert_graph_is(Density(made, graph, **people), graph, 0.5 * graph.points(), rtol=1e-9)


@pytest.mark.parametrize("size", [1e-3, 1.0, 5.0])
def test_a_sharp_prior_away_from_zero_leaves_the_density_finite(size):
    # the mean is a hundred prior SDs from zero, as when the median is said to be 20 to 22 months
    made = prepare(specification({"priors.median_months": [20, 22]})).network
    graph = Graph(made)
    for x in size * graph.points():
        value, gradient = graph(x)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


# --- slopes: normal in, normal out --------------------------------------------------------------------


@pytest.fixture(scope="module")
def slopes(tmp_path_factory):
    rows = evidence(SLOPES, tmp_path_factory.mktemp("slopes"))
    prior = SlopePrior(Normal(0.05, 0.5), length=0.8, level=0.4)
    return combine_network(rows, assumptions(landmarks=LANDMARKS, slopes=prior, bias=BIAS, bias_scale=1.5))


@pytest.fixture(scope="module")
def slopes_fit(slopes):
    return fit_synthesis(slopes, seed=7, sampler=EXACT)


def test_the_graph_of_a_lopsided_mixture_equals_the_equations():
    borrowing = Borrowing("commensurate", sd=0.3, weight=0.8, vague_sd=1.5)
    made = replace(prrt(), assumptions=replace(prrt().assumptions, study_level=borrowing))
    graph = Graph(made)
    assert_graph_is(Density(made, graph), graph, graph.points(), rtol=1e-9)


def test_the_graph_of_slopes_alone_equals_the_equations(slopes):
    graph = Graph(slopes)
    assert_graph_is(Density(slopes, graph), graph, graph.points(), rtol=1e-9)


def conjugate_slopes(rows=(0, 1, 2, 3)):
    """Mean and covariance of (slopes of control, of 177Lu, bias of either), given some of the rows."""
    months = np.log([m.months for m in LANDMARKS[:3]])
    kernel = np.eye(4)
    kernel[:3, :3] = 0.4 + 0.6 * np.exp(-((months[:, None] - months) ** 2) / (2 * 0.8**2))
    prior = np.zeros((10, 10))
    prior[:4, :4] = prior[4:8, 4:8] = 0.25 * kernel
    prior[8, 8], prior[9, 9] = (15 * 0.008) ** 2, (15 * 0.005) ** 2
    mean = np.array([0.05] * 8 + [15 * -0.022, 15 * -0.010])
    design = np.zeros((4, 10))
    design[[0, 1, 1, 2, 3, 3], [0, 3, 8, 5, 7, 9]] = 1.0
    y, se = 10 * np.array([-0.0856, -0.0339, -0.010, 0.002]), 10 * np.array([0.0303, 0.0125, 0.020, 0.0079])
    correlation = np.eye(4)
    correlation[0, 1] = correlation[1, 0] = 0.58
    correlation[2, 3] = correlation[3, 2] = 0.3
    noise = se[:, None] * correlation * se
    rows = list(rows)
    design, y, noise = design[rows], y[rows], noise[np.ix_(rows, rows)]
    gain = prior @ design.T @ np.linalg.inv(design @ prior @ design.T + noise)
    return mean + gain @ (y - design @ mean), prior - gain @ design @ prior


def slope_answers(fit, posterior) -> dict:
    mean, covariance = posterior
    labels = [
        ("slope", {"endpoint": "pfs", "arm": arm, "landmark": m.label}) for arm in ARMS for m in LANDMARKS
    ]
    labels += [("bias", {"biased_slope": ("pfs", arm)}) for arm in ARMS]
    sd = np.sqrt(np.diag(covariance))
    return {
        str(at): (draws_of(fit, name, **at), {"mean": mean[i], "sd": sd[i]})
        for i, (name, at) in enumerate(labels)
    }


def test_slopes_have_their_conjugate_posterior(slopes_fit):
    assert_exact(slope_answers(slopes_fit, conjugate_slopes()))


def test_leaving_slopes_out_is_exact(slopes):
    fit = fit_synthesis(left_out(slopes, ["S1", "S4"]), seed=6, sampler=EXACT)
    assert_exact(slope_answers(fit, conjugate_slopes([1, 2])))


def test_leave_one_out_is_the_density_of_each_number_given_the_others(slopes, slopes_fit):
    """By exact refits, since each number carries weight: of numbers correlated with others, too."""
    refits = []

    def refit(smaller):
        refits.append(smaller)
        return fit_synthesis(smaller, seed=7, sampler=EXACT)

    table = leave_one_number_out(slopes_fit, slopes, refit)
    assert len(refits) == (table["how"] == REFITTED).sum()
    exact = [loo_density(i) for i in range(4)]
    # four chains of 2000; every number carries weight here, so all are refitted: errors are below 0.02
    assert (table["how"] == REFITTED).all()
    np.testing.assert_allclose(table["elpd"], exact, atol=0.08)
    # the same by refits of all: their error is smaller
    for i, name in enumerate(slopes.rows["id"]):
        draws = refit(left_out(slopes, [name]))["posterior"].to_dataset()
        density = np.exp(published_log_likelihood(draws, slopes).sel(row=name).values)
        error = density.std() / density.mean() / np.sqrt(density.size / 4)
        assert np.log(density.mean()) == pytest.approx(exact[i], abs=4 * error)


@pytest.mark.parametrize("i", range(4))
def test_draws_are_moved_to_the_exact_posterior_without_a_number(slopes, slopes_fit, i):
    """Each number carries weight, so that no weights of the draws as they are would do."""
    known, smaller = drawn_from(slopes_fit, slopes), left_out(slopes, [slopes.rows["id"][i]])
    found = moved_fit(known, slopes, smaller, draws=2000, seed=3)
    assert found.attrs["method"] == MOVED
    assert float(found["sample_stats"]["pareto_k"][0]) < 0.5
    # of 8000 draws, and wider by 4 % in 14 directions
    assert 6000 < float(found["sample_stats"]["importance_ess"][0]) <= 8000
    assert_exact(slope_answers(found, conjugate_slopes([j for j in range(4) if j != i])))


def loo_density(i: int) -> float:
    """log p(y_i | the other rows), from the joint normal of all rows."""
    months = [k for k in range(4) if k != i]
    y, noise_y = 10 * np.array([-0.0856, -0.0339, -0.010, 0.002]), predictive()
    mean, cov = noise_y
    gain = cov[i, months] @ np.linalg.inv(cov[np.ix_(months, months)])
    centre = mean[i] + gain @ (y[months] - mean[months])
    return stats.norm.logpdf(y[i], centre, np.sqrt(cov[i, i] - gain @ cov[months, i]))


def predictive():
    """Prior mean and covariance of the four printed slopes."""
    mean, prior = conjugate_slopes([])
    design = np.zeros((4, 10))
    design[[0, 1, 1, 2, 3, 3], [0, 3, 8, 5, 7, 9]] = 1.0
    se = 10 * np.array([0.0303, 0.0125, 0.020, 0.0079])
    noise = np.diag(se**2)
    noise[0, 1] = noise[1, 0] = 0.58 * se[0] * se[1]
    noise[2, 3] = noise[3, 2] = 0.3 * se[2] * se[3]
    return design @ mean, design @ prior @ design.T + noise


def test_a_ratio_per_point_of_change_is_one_of_shrinkage_reversed(tmp_path):
    """1.089 per point of PCHG is 1 / 1.089 = 0.918 per point of shrinkage, limits changing places."""
    change = slope("S1", 0.0856, 0.0303, "150d", arm="control", unit=PER_POINT_PCHG)
    prior = SlopePrior(Normal(0.0, 0.5))
    of_change = combine_network(evidence([change], tmp_path), assumptions(landmarks=LANDMARKS, slopes=prior))
    of_shrinkage = combine_network(
        evidence(SLOPES[:1], tmp_path), assumptions(landmarks=LANDMARKS, slopes=prior)
    )
    one, other = Graph(of_change), Graph(of_shrinkage)
    for x in one.points():
        assert one(x)[0] == pytest.approx(other(x)[0], rel=1e-10)
    mean, _ = one.gaussian()
    exact = -0.856 * 0.25 / (0.25 + 0.303**2)
    assert mean[0] * 0.5 == pytest.approx(exact, rel=1e-6)


def test_the_table_prints_a_ratio_per_point_of_change_in_the_direction_of_its_own(
    slopes_fit, slopes, tmp_path
):
    changed = [slope("S1", 0.0856, 0.0303, "150d", arm="control", unit=PER_POINT_PCHG), *SLOPES[2:]]
    printed = with_labels(evidence(changed, tmp_path).table)
    table = hazard_ratios(slopes_fit, slopes, printed, ci_prob=0.95)
    own = table[(table["row"] == "S1") & table["measure"].str.contains("per 1 point")].iloc[0]
    assert own["printed"] == pytest.approx(np.exp(-0.0856))
    assert own["printed_lower"] == pytest.approx(np.exp(-0.0856 - 1.959964 * 0.0303))
    assert own["printed_upper"] == pytest.approx(np.exp(-0.0856 + 1.959964 * 0.0303))
    assert own["printed_lower"] < own["printed"] < own["printed_upper"]


# --- heterogeneity ------------------------------------------------------------------------------------

EFFECTS, ERRORS = np.array([-0.9, -0.3, 0.1]), np.array([0.2, 0.25, 0.4])


def effects_of(heterogeneity, folder, *, statistic="log effect"):
    make = log_effect if statistic == "log effect" else ratio
    rows = [
        make(f"E{i}", e, s, study=f"study {i}") for i, (e, s) in enumerate(zip(EFFECTS, ERRORS, strict=True))
    ]
    options = {"arm_effect": Normal(0.1, 1.5), "arm_heterogeneity": heterogeneity}
    return combine_network(evidence(rows, folder), assumptions(**options))


@pytest.mark.parametrize("statistic", ["log effect", "hazard ratio"])
@pytest.mark.parametrize("tau", [0.0, 0.3, 200.0])
def test_a_known_heterogeneity_pools_as_the_closed_form_says(tau, statistic, tmp_path):
    """tau = 0 is full pooling; a tau that dwarfs everything leaves each study its own estimate."""
    graph = Graph(effects_of(Fixed(tau), tmp_path, statistic=statistic))
    mean, covariance = graph.gaussian()
    to_theta = np.array([[1.5, *(tau * np.eye(3)[i])] for i in range(3)])
    theta, spread = 0.1 + to_theta @ mean, to_theta @ covariance @ to_theta.T
    prior = 1.5**2 + tau**2 * np.eye(3)
    gain = prior @ np.linalg.inv(prior + np.diag(ERRORS**2))
    np.testing.assert_allclose(theta, 0.1 + gain @ (EFFECTS - 0.1), rtol=1e-6)
    # a difference of nearly equal numbers where tau is large: 200^2 x 1e-16 against 0.04
    np.testing.assert_allclose(spread, prior - gain @ prior, rtol=1e-6, atol=1e-8)
    if tau == 0:
        weight = np.append(ERRORS**-2, 1.5**-2)
        np.testing.assert_allclose(theta, weight @ [*EFFECTS, 0.1] / weight.sum(), rtol=1e-6)
    if tau == 200:
        np.testing.assert_allclose(theta, EFFECTS, rtol=1e-4)
        np.testing.assert_allclose(np.sqrt(np.diag(spread)), ERRORS, rtol=1e-4)


def test_eight_schools_have_their_published_posterior(shared, tmp_path):
    answers = json.loads((shared / "reference" / "published_targets.json").read_text())
    exact, printed = (answers["bayesmeta_eight_schools"][key] for key in ("computed_here", "published"))
    schools = pd.read_csv(shared / "data" / "published" / "bayesmeta_eight_schools.csv")
    rows = [log_effect(s.school, s.effect, s.stderr, study=s.school) for s in schools.itertuples()]
    options = {"arm_effect": Normal(0.0, 50.0), "arm_heterogeneity": HalfCauchy(25.0)}
    made = combine_network(evidence(rows, tmp_path), assumptions(**options))
    fit = fit_synthesis(made, seed=8, sampler=replace(EXACT, draws=4000, target_accept=0.99))
    mu = draws_of(fit, "arm_effect_mean", pooled_endpoint="pfs")
    tau = draws_of(fit, "arm_effect_sd", pooled_endpoint="pfs")
    new = new_arm_effect(fit["posterior"].to_dataset(), made, seed=1)[..., 0].values
    theta = {s: draws_of(fit, "arm_effect", effect=("pfs", s)) for s in "AGH"}
    quantiles = {0.025: exact["tau_q2_5"], 0.5: exact["tau_median"], 0.975: exact["tau_q97_5"]}
    assert_exact(
        {
            "tau": (tau, {"mean": exact["tau_mean"], "sd": exact["tau_sd"]} | quantiles),
            "mu": (mu, {"mean": exact["mu_mean"], "sd": exact["mu_sd"], 0.5: exact["mu_median"]}),
            "mu > 0": ((mu > 0).astype(float), {"mean": exact["Pr_mu_gt0"]}),
            "mu, 95 %": (mu, {0.95: exact["mu_q95"]}),
            "new": (new, {"mean": exact["mu_mean"], "sd": exact["theta_new_sd"]}),
        }
        | {s: (x, printed["shrinkage"][s]) for s, x in theta.items()}
    )


TRIALS = ("McCarthy2012", "Attal2012", "Palumbo2014", "Jackson2019")
CUTS = (6.0, 12.0, 24.0, 36.0, 48.0)


@pytest.fixture(scope="module")
def maintenance(shared):
    """The pool of four trials' patients, and its fit."""
    columns = ["study", "trt", "eventtime", "status"]
    folder = shared / "data" / "ndmm"
    people = pd.concat(
        [pd.read_csv(folder / name)[columns] for name in ("ndmm_ipd.csv", "ndmm_agd.csv")], ignore_index=True
    )
    cohorts = []
    for study in TRIALS:
        events, months = np.zeros((2, 2, 6))
        for a, arm in enumerate(("Pbo", "Len")):
            own = people[(people["study"] == study) & (people["trt"] == arm)]
            time = own["eventtime"].to_numpy()
            months[a] = person_time(time, np.array(CUTS)).sum(axis=0)
            np.add.at(events[a], np.searchsorted(CUTS, time), own["status"].to_numpy())
        cohorts.append(Participants(study, "pfs", events, months))
    options = {"arms": ("Pbo", "Len"), "reference": TRIALS[0], "own_baseline": TRIALS, "cuts": CUTS}
    options |= {"smoothing": "independent", "level": Normal(-3.912023, 2.0), "arm_effect": Normal(0.0, 1.0)}
    made = combine_network(None, assumptions(**options), cohorts=cohorts)
    return made, fit_synthesis(made, seed=9, sampler=replace(EXACT, draws=6000, target_accept=0.99))


def test_patients_of_four_trials_have_the_posterior_of_quadrature(shared, maintenance):
    answers = json.loads((shared / "reference" / "bayes_hierarchical_reference.json").read_text())
    target = answers["fits"]["ndmm_lenalidomide_4_studies_pfs"]
    made, fit = maintenance
    assert sum(c.events.sum() for c in made.cohorts) == target["events"]
    draws = {f"theta:{s}": draws_of(fit, "arm_effect", effect=("pfs", s)) for s in TRIALS}
    draws["mu"] = draws_of(fit, "arm_effect_mean", pooled_endpoint="pfs")
    draws["tau"] = draws_of(fit, "arm_effect_sd", pooled_endpoint="pfs")
    draws["theta_new"] = new_arm_effect(fit["posterior"].to_dataset(), made, seed=1)[..., 0].values
    found = {}
    for name, exact in target["posterior"].items():
        quantiles = {float(p): value for p, value in exact.get("quantiles", {}).items()}
        found[name] = (draws[name], {"mean": exact["mean"], "sd": exact["sd"]} | quantiles)
    # that of mu is 0.998: too rare an exception to judge its own error by
    below = target["posterior"]["theta_new"]["prob_below_0"]
    found["theta_new < 0"] = ((draws["theta_new"] < 0).astype(float), {"mean": below})
    assert_exact(found)


def test_the_pooled_ratio_agrees_with_the_meta_analysis_and_is_less_certain(shared, maintenance):
    """REML puts the heterogeneity of these trials at zero, and pools fully. A half-normal prior gives every
    heterogeneity up to about 1 some weight, so the mean stays and its interval can only be wider."""
    answers = json.loads((shared / "reference" / "ndmm_reference.json").read_text())
    reml = answers["lenalidomide_4_studies"]["meta_of_cox_efron"]["fits"]["REML"]
    mu = draws_of(maintenance[1], "arm_effect_mean", pooled_endpoint="pfs")
    low, high = np.quantile(mu, (0.025, 0.975))
    assert abs(mu.mean() - reml["mu"]) < reml["se"] / 2
    assert low < reml["ci95"][0] < reml["ci95"][1] < high
    assert reml["se"] < mu.std() < np.hypot(reml["se"], 0.5 / np.sqrt(4))


# --- weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["N01", "N02", "N10", "N11", "N12", "N14", "N15", "N20", "H11", "D01", "D04"])
def test_power_zero_removes_a_row_exactly(out):
    """The same density as that of a pool without the row; what only the row spoke of keeps its prior."""
    whole = Graph(left_out(prrt(), [out]))
    prepared = prepare(specification())
    evidence = Evidence(prepared.evidence.without([out]).table)
    without = Graph(combine_network(evidence, prepared.network.assumptions))
    kept = [label in without.effects for label in whole.effects] + [True] * len(whole.scales)
    assert whole.scales == without.scales
    points = whole.points()
    theirs = np.array([whole(x)[0] - alone(whole, kept, x) for x in points])
    ours = np.array([without(x[kept])[0] for x in points])
    np.testing.assert_allclose(theirs - theirs[0] + ours[0], ours, rtol=1e-10)


def alone(graph, kept, x) -> float:
    """Log prior of the effects that are not kept: standard normal, but for the mixture of study levels."""
    total, b = 0.0, prrt().assumptions.study_level
    for label, keep, z in zip(graph.effects, kept, x, strict=False):
        if not keep and label[0] == "study_level":
            wide = (1 - b.weight) * b.sd / b.vague_sd * np.exp(-0.5 * (b.sd * z / b.vague_sd) ** 2)
            total += np.log(b.weight * np.exp(-0.5 * z**2) + wide)
        elif not keep:
            total += -0.5 * z**2
    return total


def test_a_power_is_a_larger_standard_error(tmp_path):
    """A quarter of the weight is twice the standard error, in a correlated pair too."""
    rows = SLOPES[:2]
    wide = [slope("S1", -0.0856, 2 * 0.0303, "150d", arm="control"), SLOPES[1]]
    options = {"landmarks": LANDMARKS, "slopes": SlopePrior(Normal(0.0, 0.5))}
    light = combine_network(evidence(rows, tmp_path), assumptions(**options), power={"S1": 0.25})
    one, other = Graph(light), Graph(combine_network(evidence(wide, tmp_path), assumptions(**options)))
    for found, expected in zip(one.gaussian(), other.gaussian(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


# --- patients and their own number --------------------------------------------------------------------


def density_moments(graph) -> tuple[float, float]:
    """Mean and SD of the only effect, by quadrature."""
    top = graph(np.zeros(1))[0]
    grid = np.linspace(-4, 4, 801)
    logs = np.array([graph(np.array([z]))[0] for z in grid]) - top
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    mean = weight @ grid
    return mean, np.sqrt(weight @ (grid - mean) ** 2)


@pytest.mark.parametrize("events", [12, 400])
def test_patients_weigh_as_much_as_the_number_they_would_print(events, tmp_path):
    """d events in T months under a constant hazard: log hazard is log-gamma(d, T) where the prior is flat.
    The printed log H has mean log(d/T) and SE 1/sqrt(d), which is the same but for the gamma's skewness:
    digamma(d) = log d - 1/(2d), trigamma(d) = 1/d + 1/(2d^2), to the next order in 1/d."""
    months = 20.0 * events
    prior = Normal(np.log(events / months), 1.0)
    base = {"arms": ("177Lu",), "cuts": (), "smoothing": "independent"}
    cohort = Participants("A", "pfs", np.array([[float(events)]]), np.array([[months]]))
    people = combine_network(None, assumptions(level=prior, **base), cohorts=[cohort])
    mean, sd = density_moments(Graph(people))
    grid = np.linspace(-6, 6, 20001)
    exact = np.exp(stats.loggamma.logpdf(grid + np.log(events), events) + stats.norm.logpdf(grid))
    total = integrate.trapezoid(exact, grid)
    exact_mean = integrate.trapezoid(grid * exact, grid) / total
    exact_sd = np.sqrt(integrate.trapezoid((grid - exact_mean) ** 2 * exact, grid) / total)
    assert mean == pytest.approx(exact_mean, abs=1e-6)
    assert sd == pytest.approx(exact_sd, rel=1e-5)
    # the number they would print: S(10), with a symmetric interval for log(-log S)
    log_h = np.log(10 * events / months)
    low, mid, high = (np.exp(-np.exp(log_h + k * 1.959963984540054 / np.sqrt(events))) for k in (1, 0, -1))
    printed = row("A1", "survival", mid, lower=low, upper=high, time=10, n=events)
    number = combine_network(evidence([printed], tmp_path), assumptions(level=prior, **base))
    number_mean, number_sd = density_moments(Graph(number))
    skew_shift = np.log(events) - special.digamma(events)
    assert number_mean == pytest.approx(0.0, abs=1e-6)
    assert abs(number_mean - mean) < 1.1 * skew_shift
    assert number_sd == pytest.approx(1 / np.sqrt(events + 1), rel=1e-5)
    assert number_sd == pytest.approx(sd, rel=1 / events)


# --- the shipped synthesis ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits():
    """All evidence, NETTER-1 alone."""
    return {
        "all": fit_synthesis(prrt(), seed=10, sampler=EXACT),
        "NETTER-1": fit_synthesis(left_out(prrt(), CURVES_OF_NETTER), seed=11, sampler=EXACT),
    }


def test_single_arm_studies_do_not_move_the_slopes(fits):
    slope = fits["all"]["posterior"]["slope"]
    pairs = {
        (arm, at): [draws_of(f, "slope", endpoint="pfs", arm=arm, landmark=at) for f in fits.values()]
        for arm in slope["arm"].values
        for at in slope["landmark"].values
    }
    assert len(pairs) == 12
    assert_same(pairs)


def test_the_held_out_survival_of_the_treated_arm_is_predicted(fits):
    """Printed: 0.652 (0.500 to 0.768); it follows from the hazard ratio 0.18 and the control curve."""
    prepared = prepare(specification())
    for fit in fits.values():
        held_out = prepared.evidence.rows("check")
        table = checks(fit, prrt(), held_out, ci_prob=0.95, seed=1).set_index("row")
        draws = fit["posterior"].to_dataset()
        log_h = log_hazards_of(
            draws, prrt(), next(held_out[held_out["id"] == "N05"].itertuples()), np.array([20.0])
        )
        lower, middle, upper = np.quantile(np.exp(-np.exp(log_h)), (0.025, 0.5, 0.975))
        assert 0.62 < middle < 0.70
        assert lower == pytest.approx(0.50, abs=0.06)
        assert upper == pytest.approx(0.78, abs=0.06)
        # a replicated study prints with an error of its own
        assert table.loc["N05", "lower"] < lower
        assert table.loc["N05", "upper"] > upper
        assert table.loc["N05", "predicted"] == pytest.approx(middle, abs=0.03)
        assert table.loc["N05", "p_value"] > 0.2


@pytest.mark.parametrize(
    ("subgroup", "bounds"),
    [(">=30", (30.0, 100.0)), ("<30", (-20.0, 30.0)), (">=-20,<12.5", (-20.0, 12.5)), ("<-5", (-20.0, -5.0))],
)
def test_a_subgroup_is_an_interval_of_shrinkage(subgroup, bounds):
    assert subgroup_bounds(subgroup) == bounds


def test_subgroups_of_a_study_without_slopes_of_its_own_add_up_to_the_whole():
    """Of ILUMINET's law and curve, with the slopes of NETTER-1: the mixture of three groups is the arm."""
    made, times = prrt(), np.array([6.0, 18.0, 40.0])
    fit = xr.DataTree.from_dict({"posterior": draw_prior(made, draws=40, seed=2)})
    draws, law = fit["posterior"].to_dataset(), ("ILUMINET", "177Lu", "no limit")
    location = select(draws["shrinkage_location"], shrinkage_law=law).values.ravel()
    spread = np.exp(select(draws["shrinkage_log_spread"], shrinkage_law=law).values.ravel())
    row = next(row for row in made.rows.itertuples() if row.id == "D04")
    ends = stats.norm.cdf((special.logit((np.array([[0.0], [30.0]]) + 20) / 120) - location) / spread)
    shares = np.diff(ends, axis=0, prepend=0.0, append=1.0)
    parts = [row._replace(subgroup=group) for group in ("<0", ">=0,<30", ">=30")]
    assert all(Prediction(draws, made, part).known for part in parts)
    survival = [np.exp(-np.exp(log_hazards_of(draws, made, part, times))) for part in parts]
    whole = np.exp(-np.exp(log_hazards_of(draws, made, row, times)))
    mixture = sum(share[:, None] * own for share, own in zip(shares, survival, strict=True))
    np.testing.assert_allclose(mixture, whole, atol=2e-3)


def test_a_negative_slope_goes_with_longer_survival_of_deeper_shrinkage(fits):
    fit = fits["all"]
    assert np.median(draws_of(fit, "slope", endpoint="pfs", arm="control", landmark="150 d")) < 0
    known = {curve: 20.0 for curve in prrt().curves}
    table = profiles(
        fit, prrt(), points=(0.0, 30.0), times=np.array([6.0, 12.0, 24.0]), known_until=known, ci_prob=0.95
    )
    own = table[(table["arm"] == "control") & (table["landmark"] == "150 d")]
    curves = own.pivot(index="time", columns="profile", values="estimate")
    assert (curves["30 points"] > curves["all at risk"]).all()
    assert (curves["30 points"] > curves["0 points"]).all()
    assert set(table["endpoint"]) == {"pfs"}  # there are no slopes of overall survival


def test_every_published_number_has_the_density_of_its_kind(fits):
    """Against scipy, at the posterior draws; each given all the others, nested counts too."""
    draws = fits["all"]["posterior"].to_dataset().isel(draw=slice(0, 5))
    made = prrt()
    found = published_log_likelihood(draws, made)
    assert found.dims == ("chain", "draw", "row")
    data = {d.id: d for d in made.data}

    def at(name):
        return found.sel(row=name).values

    def value(name, **label):
        return select(draws[name], **label).transpose("chain", "draw").values

    def same(name, expected):
        np.testing.assert_allclose(at(name), expected, rtol=1e-8, err_msg=name)

    effect = value("arm_effect", effect=("os", "NETTER-1"))
    before = made.with_power({"N29": 0.0})  # with which it is correlated
    alone = published_log_likelihood(draws, before).sel(row="N30").values
    np.testing.assert_allclose(alone, stats.norm.logpdf(data["N30"].value, effect, data["N30"].se), rtol=1e-8)
    odds = value("completion", completion_of=("Halperin 2024", "177Lu", "16 w"))
    same("H04", stats.t.logpdf((data["H04"].value - odds) / data["H04"].se, 4) - np.log(data["H04"].se))
    for name, group, k, n in (
        ("D01", ("ILUMINET", "177Lu"), 15, 96),
        ("N20", ("NETTER-1", "control"), 4, 86),
    ):
        p = special.expit(value("response", response_group=group))
        same(name, stats.binom.logpmf(k, n, p))
    law = ("NETTER-1", "control", "no limit")
    location = value("shrinkage_location", shrinkage_law=law)
    spread = np.exp(value("shrinkage_log_spread", shrinkage_law=law))
    none, most = (stats.norm.cdf(special.logit((x + 20) / 120), location, spread) for x in (0, 30))
    same("N16", stats.binom.logpmf(7, 34, (1 - most) / (1 - none)))
    same("N17", stats.binom.logpmf(34 - 7, 86 - 7, (most - none) / most))
    log_hazard = (
        select(draws["log_hazard"], curve=("pfs", "ILUMINET", "177Lu"))
        .transpose("chain", "draw", "interval")
        .values
    )
    spent = np.diff([0.0, *made.assumptions.cuts, 1e9])
    spent = np.clip(29.0 - np.array([0.0, *made.assumptions.cuts]), 0, spent)
    log_h = np.log(np.exp(log_hazard) @ spent)
    se = data["D04"].se * np.exp(value("log_inflation", inflated="D04"))
    same("D04", stats.norm.logpdf(np.log(np.log(2)), log_h, se))


def test_an_estimate_has_the_density_given_all_others_printed_or_not(fits):
    draws, made = fits["all"]["posterior"].to_dataset().isel(draw=slice(0, 5)), prrt()
    found = published_log_likelihood(draws, made)

    def value(name, **label):
        return select(draws[name], **label).transpose("chain", "draw").values

    rows, kept = list(made.rows.itertuples()), {}
    for i, one in enumerate(rows):
        if one.statistic == "hazard ratio per point" and one.arm == "control" and made.power[i] > 0:
            mean = value("slope", endpoint="pfs", arm="control", landmark=one.landmark)
            if one.landmark == "no limit":
                mean = mean + value("bias", biased_slope=("pfs", "control"))
            se, number = made.data[i].se, made.data[i].value
            if made.data[i].kind == "said":
                number = value("estimate", unprinted_estimate=one.id)
                factor = log_factor(made, one.id, lambda id: value("se_z", unknown_se=id))
                se = se * np.exp(made.data[i].se_tilt * mean + factor)
            kept[i] = (number - mean) / se
    assert len(kept) == 6
    precision = np.linalg.inv(correlations(rows, made.data, list(kept)))
    z = np.array(list(kept.values()))
    for k, i in enumerate(kept):
        if made.data[i].kind == "normal":
            away = np.tensordot(precision[k], z, axes=1) / precision[k, k]  # from its mean given the others
            expected = stats.norm.logpdf(away, 0.0, precision[k, k] ** -0.5)
            expected = expected - np.log(made.data[i].se)
            np.testing.assert_allclose(found.sel(row=rows[i].id), expected, rtol=1e-8)


def test_heterogeneity_priors_refuse_what_is_no_spread():
    for value in (-0.1, np.nan, np.inf):
        with pytest.raises(InputError, match="expected a number >= 0"):
            Fixed(value)
    assert HalfNormal(0.5).draw(np.random.default_rng(1), (10,)).min() > 0
