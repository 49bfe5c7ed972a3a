"""``fit.to_arviz()`` is what the functions of ArviZ take, of the version that is installed."""

import warnings

import arviz as az
import pytest
from matplotlib.figure import Figure
from pools import assumptions, evidence, ratio, row, slope

import bayes_net as bn
from bayes_net.data.landmarks import landmark_times
from bayes_net.inference import Sampler, fit_synthesis

BRIEF = Sampler(draws=150, tune=150)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Patients with slopes in each arm and a common one, and a synthesis."""
    landmarks = bn.landmark(bn.simulate_cohort(seed=1), ["36w"])
    data = bn.expose(landmarks, "36 w", cuts=[6, 12])
    rows = [
        row("M1", "median", 9, lower=7, upper=11.5, n=110, arm="control"),
        ratio("R1", -0.9, 0.2, arm="177Lu", reference_arm="control"),
        slope("S1", -0.04, 0.015, "150d", arm="177Lu"),
    ]
    network = bn.combine_network(
        evidence(rows, tmp_path_factory.mktemp("rows")), assumptions(landmarks=landmark_times(["150d"]))
    )
    return {
        "per arm": bn.fit(data, bn.Hazard(), seed=1, sampler=BRIEF),
        "common": bn.fit(data, bn.Hazard(slopes="common"), seed=1, sampler=BRIEF),
        "synthesis": fit_synthesis(network, seed=1, sampler=BRIEF),
    }


def quietly(function, *given, **how):
    """What it returns; ArviZ warns of much that is none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*given, **how)


@pytest.mark.parametrize("name", ["per arm", "synthesis"])
def test_summaries_and_plots_take_it(fits, name, monkeypatch):
    monkeypatch.setattr(Figure, "show", lambda self: None)
    fit = fits[name].to_arviz()
    table = quietly(az.summary, fit)
    values = fits[name]["posterior"].to_dataset()
    assert len(table) == sum(values[each].isel(chain=0, draw=0).size for each in values)
    slopes = [label for label in table.index if label.startswith("slope[")]
    expected = {"per arm": "slope[control]", "synthesis": "slope[pfs, 177Lu, 150 d]"}
    assert expected[name] in slopes
    assert ("level[pfs, A]" in table.index) == (name == "synthesis")  # fields of a dim are one label
    for plot in (az.plot_trace, az.plot_forest):
        assert quietly(plot, fit, var_names=["slope"]) is not None


def test_leaving_out_and_comparing_take_it(fits):
    one, other = (fits[name].to_arviz() for name in ("per arm", "common"))
    elpd = quietly(az.loo, one)
    known = bn.checks.loo(fits["per arm"])["elpd"]
    assert getattr(elpd, "elpd_loo", getattr(elpd, "elpd", None)) == pytest.approx(known, rel=1e-3)
    assert set(quietly(az.compare, {"per arm": one, "common": other}).index) == {"per arm", "common"}


def test_what_it_is_made_of_stays_as_it_was(fits):
    for fit in fits.values():
        before = fit.copy(deep=True)
        fit.to_arviz()
        assert before.identical(fit)
