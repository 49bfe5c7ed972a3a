"""Fits: reproducible, labelled, without patients' identifiers, and the same through a compiled model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from cohort_tables import read
from exposures import followed, patients, two_groups

from bayes_net.assumptions.hazard import Hazard, free_variables, slope_over_time, walk_basis
from bayes_net.assumptions.priors import Flat, Normal, Priors, hazard_ratio_prior
from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import Exposure, expose
from bayes_net.data.landmarks import landmark
from bayes_net.engine.layout import layout
from bayes_net.errors import InputError
from bayes_net.estimands.ratios import hazard_ratio_by_time
from bayes_net.inference.closed_form import step_scale
from bayes_net.inference.patients import fit, stack
from bayes_net.inference.sampling import Sampler, compile_model, sample
from bayes_net.inference.start import starting_points
from bayes_net.model.predictors import coordinates
from bayes_net.schema import SAMPLE_DIMS

EARLY_AND_LATE = ((-0.4, -0.3), (0.3, 0.1))
SHORT = Sampler(draws=60, tune=200, chains=2)
IDENTIFIERS = [f"NET-{100 + i}" for i in range(40)]


def from_cohort() -> Exposure:
    """An exposure that comes all the way from tables with patients' identifiers."""
    rng = np.random.default_rng(9)
    people = pd.DataFrame({"patient": IDENTIFIERS, "arm": ["control", "treated"] * 20})
    people = people.assign(pfs_time=120 + rng.integers(1, 900, 40), pfs_event=rng.integers(0, 2, 40))
    sizes = np.column_stack([np.full(40, 100), rng.integers(40, 110, 40)]).ravel()
    scans = pd.DataFrame({"patient": np.repeat(IDENTIFIERS, 2), "time": [0, 60] * 40, "size": sizes})
    return expose(landmark(read(people, scans), ["120d"]), "120 d", cuts=(2.0, 5.0, 9.0))


def early_events() -> Exposure:
    """Control patients with all their events in the first half of four intervals."""
    rng = np.random.default_rng(3)
    arm = np.repeat([0, 1], 50)
    time = rng.exponential([[7.0], [28.0]], (2, 100))
    end = rng.uniform([[10.0], [20.0]], [[16.0], [60.0]], (2, 100))
    own = (arm, np.arange(100))
    return followed(time[own], end[own], arm, rng.normal(0, 1, 100), [6.0, 18.0, 42.0])


def crossing(cuts, n=4000) -> Exposure:
    """Patients whose slope is -0.4 (control) or -0.3 up to 6 months, and then 0.3, or 0.1."""
    rng = np.random.default_rng(21)
    arm, score = rng.integers(0, 2, n), rng.normal(1.5, 2, n)
    early, late = (0.08 * np.exp(np.array(slopes)[arm] * score) for slopes in EARLY_AND_LATE)
    needed = rng.exponential(size=n)
    time = np.where(needed <= 6 * early, needed / early, 6 + (needed - 6 * early) / late)
    return followed(time, rng.uniform(12, 36, n), arm, score, cuts)


@pytest.fixture(scope="module")
def exposures() -> dict[str, Exposure]:
    return {"120 d": from_cohort(), "36 w": patients(60)}


@pytest.fixture(scope="module")
def fits(exposures) -> dict[str, xr.DataTree]:
    """Fits of the default model; both exposures have one layout, so one is compiled."""
    shape = layout(list(exposures.values()))
    return {label: fit(data, seed=3, sampler=SHORT, shape=shape) for label, data in exposures.items()}


def test_intervals_without_events_do_not_keep_chains_from_moving(exposures):
    data = early_events()
    assert (data.events[0, :2] > 10).all()
    assert (data.events[0, 2:] == 0).all()
    tree = fit(data, seed=3, shape=layout([data, *exposures.values()]))
    # sampled by its average over time, the level had 930 to 1,490 effective draws of 4,000 in eight seeds
    assert array_stats.ess(tree["posterior"]["level"].values[..., 0], method="bulk") > 3000
    assert not tree["sample_stats"]["diverging"].any()


def test_the_same_seed_gives_the_same_draws_bit_for_bit(exposures, fits):
    shape = layout(list(exposures.values()))
    again, other = (fit(exposures["36 w"], seed=seed, sampler=SHORT, shape=shape) for seed in (3, 4))
    assert again.identical(fits["36 w"])
    assert not other["posterior"].equals(again["posterior"])
    assert not other["prior"].equals(again["prior"])
    # chains differ from each other, too
    assert (again["posterior"]["slope"][0] != again["posterior"]["slope"][1]).any()


def two_groups_of_fifty(seed: int) -> Exposure:
    """Two groups with the layout of the trials in test_reference_fits.py: one compiled model for all."""
    rng = np.random.default_rng(seed)
    time, event = np.ceil(rng.exponential(8, 50)), rng.random(50) < 0.8
    return two_groups(time, event, rng.integers(0, 2, 50), np.arange(1, 17))


def plain_hazard(mean: float) -> Hazard:
    return Hazard("shared", "independent", "none", Priors(level=Normal(mean, 1.0), arm_effect=Flat()))


def test_a_compiled_model_given_other_data_is_that_of_a_fresh_compile():
    def of(values):
        with pm.Model(coords={"row": range(4)}) as model:
            given = pm.Data("given", np.asarray(values), dims="row")
            pm.Normal("observed", pm.Normal("mean", 0.0, 5.0), 1.0, observed=given, dims="row")
        return compile_model(model)

    one, other = (1.0, 2.0, 3.0, 4.0), (-1.0, -2.0, 0.0, 0.0)
    fresh = sample(of(one), seed=5, sampler=SHORT)
    swapped = sample(of(other), seed=5, sampler=SHORT, data={"given": np.array(one), "of no variable": one})
    assert set(swapped.children) == {"posterior", "sample_stats"}
    for group in swapped.children:
        xr.testing.assert_identical(fresh[group].to_dataset(), swapped[group].to_dataset())


def test_groups_variables_and_dims_are_those_of_the_posterior_container(fits, exposures):
    arm, step, cell = ("arm",), ("arm", "boundary"), ("arm", "interval")
    free = {"level": arm, "step_sd": arm, "step": step, "slope": arm}
    expected = {
        "posterior": free | {"log_hazard": cell},
        "log_prior": free,
        "prior": free | {"log_hazard": cell},
        "log_likelihood": {"patients": ("patient",)},
        "sample_stats": dict.fromkeys(("diverging", "energy", "logp", "n_steps", "step_size"), ()),
    }
    plain = {
        "observed_data": {"events": cell},
        "constant_data": {
            "interval_start": ("interval",),
            "interval_end": ("interval",),
            "person_time": cell,
            "n": arm,
            "n_events": arm,
            "last_follow_up": arm,
            "in_stretches": (),
        },
    }
    for label, tree in fits.items():
        assert set(tree.children) == set(expected) | set(plain)
        for group, variables in expected.items():
            dims = {name: x.dims for name, x in tree[group].data_vars.items()}
            assert dims == {name: (*SAMPLE_DIMS, *own) for name, own in variables.items()}, group
        for group, variables in plain.items():
            assert {name: x.dims for name, x in tree[group].data_vars.items()} == variables
        posterior = tree["posterior"]
        assert (posterior.sizes["chain"], posterior.sizes["draw"]) == (2, 60)
        assert list(posterior["arm"].values) == list(exposures[label].arms)
        assert tree.attrs["seed"] == 3
        assert (tree.attrs["measure"], tree.attrs["reference"]) == ("shrinkage", 0.0)
        assert {"version pymc", "version nutpie", "version bayes-net"} < set(tree.attrs)


def test_nothing_in_a_fit_is_named_after_an_unconstrained_twin(fits):
    for tree in fits.values():
        for node in tree.subtree:
            names = {str(name) for name in (*node.variables, *node.dims)}
            assert not [name for name in names if "__" in name], node.path


def test_counts_and_exposure_of_the_data_are_kept(fits, exposures):
    for label, data in exposures.items():
        constant, observed = fits[label]["constant_data"], fits[label]["observed_data"]
        np.testing.assert_array_equal(observed["events"], data.events)
        np.testing.assert_array_equal(constant["person_time"], data.person_time)
        np.testing.assert_array_equal(constant["interval_start"], [0, 2, 5, 9])
        np.testing.assert_array_equal(constant["interval_end"], [2, 5, 9, np.inf])
        np.testing.assert_array_equal(constant["n"], data.n_by_arm)
        np.testing.assert_array_equal(constant["n_events"], data.events.sum(axis=1))
        longest = [data.time[data.arm == a].max() for a in (0, 1)]
        np.testing.assert_array_equal(constant["last_follow_up"], longest)


def test_log_likelihood_and_log_prior_add_up_to_the_density_that_was_sampled(fits, exposures):
    for label, tree in fits.items():
        total = tree["log_likelihood"]["patients"].sum("patient")
        for x in tree["log_prior"].data_vars.values():
            total = total + x.sum([dim for dim in x.dims if dim not in SAMPLE_DIMS])
        # the sampler moves on log step_sd, whose density has the Jacobian step_sd
        total = total + np.log(tree["posterior"]["step_sd"]).sum("arm")
        # and on the steps times their scale
        scale = step_scale(tree["posterior"], Hazard(), exposures[label])
        total = total - np.log(scale).sum(("arm", "boundary"))
        # the compression's error, below 1e-9 of each cell
        np.testing.assert_allclose(total, tree["sample_stats"]["logp"], rtol=1e-8)


def test_no_patients_identifier_is_anywhere_in_a_fit(fits, exposures):
    tree = fits["120 d"]
    text = "\n".join(
        [str(tree.attrs)]
        + [
            f"{node.attrs} {x.attrs} {x.values.tolist()}"
            for node in tree.subtree
            for x in node.variables.values()
        ]
    )
    assert "treated" in text
    assert "NET-" not in text
    rows = tree["log_likelihood"]["patient"]
    assert rows.values.tolist() == list(range(exposures["120 d"].n))
    held = {node.name for node in tree.subtree if "patient" in node.dims}
    assert held == {"log_likelihood"}


def test_stacked_fits_stand_side_by_side_with_totals_of_their_log_likelihood(fits):
    both = stack(fits, dim="landmark")
    assert both["posterior"]["landmark"].values.tolist() == ["120 d", "36 w"]
    assert both.attrs["seed"] == [3, 3]
    for label, tree in fits.items():
        for group in ("posterior", "prior", "sample_stats", "log_prior", "constant_data", "observed_data"):
            for name, x in tree[group].data_vars.items():
                one = both[group][name].sel(landmark=label).transpose(*x.dims)
                np.testing.assert_array_equal(one, x)
        total = tree["log_likelihood"]["patients"].sum("patient")
        np.testing.assert_array_equal(both["log_likelihood"]["patients"].sel(landmark=label), total)
    assert "patient" not in both["log_likelihood"].dims


def test_thinned_draws_are_every_other_draw_of_the_same_chains(exposures, fits):
    shape, half = layout(list(exposures.values())), replace(SHORT, draws=30, thin=2)
    thinned, all_of_them = fit(exposures["36 w"], seed=3, sampler=half, shape=shape), fits["36 w"]
    for group in ("posterior", "log_likelihood"):
        for name, x in all_of_them[group].data_vars.items():
            np.testing.assert_array_equal(thinned[group][name], x.isel(draw=slice(None, None, 2)))
    assert thinned["posterior"]["draw"].values.tolist() == list(range(30))
    diverging = all_of_them["sample_stats"]["diverging"].values.reshape(2, 30, 2).any(axis=2)
    np.testing.assert_array_equal(thinned["sample_stats"]["diverging"], diverging)


@pytest.mark.parametrize(
    "option",
    [{"draws": 0}, {"thin": 0}, {"tune": 0}, {"chains": 0}, {"target_accept": 0.3}, {"target_accept": 1.0}],
)
def test_samplers_that_cannot_run_are_refused(option):
    with pytest.raises(InputError, match="expected positive counts"):
        Sampler(**option)


@pytest.mark.parametrize(("first", "then"), [(0.98, 0.995), (0.995, 0.99875)])
def test_a_second_attempt_takes_smaller_steps_and_more_of_them(first, then):
    careful = Sampler(700, 300, 4, first).more_careful()
    assert careful.target_accept == pytest.approx(then, rel=1e-12)
    assert careful == Sampler(700, 600, 4, careful.target_accept, thin=2)


def test_data_of_another_layout_is_refused_before_sampling(exposures):
    shape = layout([patients(60, covariates=("grade: II",))])
    strangers = patients(60, covariates=("grade: II",))
    strangers = replace(strangers, covariates=strangers.covariates + 5)
    with pytest.raises(InputError, match="not one of the 4 patterns"):
        fit(strangers, seed=1, sampler=SHORT, shape=shape)


def test_a_narrow_prior_of_the_slope_is_what_the_slope_keeps(exposures):
    narrow = Hazard(priors=Priors(slope=hazard_ratio_prior(0.49, 0.51)))
    shape = layout(list(exposures.values()))
    slope = fit(exposures["36 w"], narrow, seed=1, sampler=SHORT, shape=shape)["posterior"]["slope"]
    np.testing.assert_allclose(slope, np.log(0.5), atol=0.06)  # six of the prior's SDs


def test_an_engine_that_there_is_not_is_refused():
    with pytest.raises(InputError, match="engine 'stan' is unknown; expected numba or pymc"):
        Sampler(engine="stan")


def test_slopes_that_change_sign_are_recovered_by_interval_and_missed_by_one_for_all():
    data = crossing(cuts=(3.0, 6.0, 12.0))
    early, late = EARLY_AND_LATE
    truth = xr.DataArray(np.array([early, early, late, late]).T, dims=("arm", "interval"))
    varying = fit(data, Hazard(slopes="time-varying"), seed=1, sampler=SHORT)
    found = varying["posterior"]["slope_by_interval"]
    assert found.dims == (*SAMPLE_DIMS, "arm", "interval")
    off = (found.median(SAMPLE_DIMS) - truth) / found.std(SAMPLE_DIMS)
    assert float(np.abs(off).max()) < 4
    by_time = hazard_ratio_by_time(varying, [1.0, 6.0, 6.1, 30.0])
    np.testing.assert_allclose(np.log(by_time), found.isel(interval=[0, 1, 2, 3]).values, rtol=1e-12)
    for group in ("log_prior", "prior", "posterior"):
        assert {"slope", "slope_step_sd"} <= set(varying[group].data_vars)
    one = fit(data, seed=1, sampler=SHORT)["posterior"]["slope"]
    missed = np.abs((one.median(SAMPLE_DIMS) - truth) / one.std(SAMPLE_DIMS))
    assert float(missed.min()) > 5


def test_chains_of_aggregated_patients_start_near_slopes_that_vary():
    data, hazard = crossing(cuts=(6.0,), n=20_000), Hazard(slopes="time-varying")
    centre, spread = starting_points(hazard, aggregate(data))
    names = [
        name
        for name, free in free_variables(hazard, data).items()
        for _ in range(int(np.prod([len(coordinates(data)[dim]) for dim in free.dims])))
    ]
    at = dict.fromkeys(names)
    values = {name: centre[[i for i, own in enumerate(names) if own == name]] for name in at}
    assert np.isfinite(spread).all()
    assert (spread > 0).all()
    # of two intervals of equal length the average over time is the middle
    slopes = slope_over_time(
        values["slope"], np.exp(values["slope_step_sd"]), values["slope_step"][:, None], walk_basis(data.cuts)
    )
    np.testing.assert_allclose(slopes, np.transpose(EARLY_AND_LATE), atol=0.05)
