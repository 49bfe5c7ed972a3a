"""Arms and covariates alone: everyone at risk, with scans or without, from randomisation."""

import numpy as np
import pandas as pd
import pytest
import tomli_w
from command_line import invoke
from scipy import special, stats

import bayes_net as bn
from bayes_net.data import WithoutShrinkage
from bayes_net.data.terms import measure_attrs, measure_of
from bayes_net.errors import InputError, SpecificationError
from bayes_net.results.folder import read_result
from bayes_net.results.states import EVERYONE

ALONE = {
    "title": "Two arms",
    "slopes": "none",
    "data": {"patients": "patients.csv", "time_unit": "months", "arms": ["A", "B"]},
    "landmarks": {"times": ["0d"], "endpoints": ["os"], "os_population": "alive"},
    "baseline": {"arms": "shared", "cuts": []},
    "priors": {"median_months": "flat", "hazard_ratio_arm": "flat"},
    "sampling": {"seed": 3},
}


@pytest.fixture(scope="module")
def patients():
    """Sixty patients without scans: times from a Weibull law, which the model is not."""
    rng = np.random.default_rng(5)
    arm = np.repeat(["A", "B"], [28, 32])
    time = np.where(arm == "B", 24, 14) * rng.weibull(1.3, 60)
    end = rng.uniform(12, 30, 60)
    table = {"patient": [f"p{i}" for i in range(60)], "arm": arm, "os_time": np.minimum(time, end).round(3)}
    sex = rng.permutation(np.repeat(["f", "m"], 30))
    return pd.DataFrame(table | {"os_event": (time <= end).astype(int), "sex": sex})


def specified(folder, patients=None, **changes):
    """A specification of ``ALONE`` with changed sections, beside its patients."""
    if patients is not None:
        patients.to_csv(folder / "patients.csv", index=False)
    path = folder / "alone.toml"
    wanted = ALONE | {key: ALONE.get(key, {}) | value if isinstance(value, dict) else value
                      for key, value in changes.items()}  # fmt: skip
    path.write_text(tomli_w.dumps({key: value for key, value in wanted.items() if value is not None}))
    return path


def test_the_arms_hazard_ratio_is_that_of_two_gamma_laws(patients, tmp_path):
    """With flat priors and one interval the arms' hazards are gamma(events, months), independently."""
    found = bn.run(bn.read_specification(specified(tmp_path, patients)))
    assert found.passed
    (row,) = found.tables["hazard_ratios"].itertuples()
    assert (row.estimand, row.measure, row.arm, row.n) == ("arm", "against A", "B", 60)
    sums = patients.groupby("arm")[["os_event", "os_time"]].sum()
    (d0, t0), (d1, t1) = sums.to_numpy()
    mean = special.digamma(d1) - special.digamma(d0) - np.log(t1 / t0)
    sd = np.sqrt(special.polygamma(1, d0) + special.polygamma(1, d1))
    assert row.log_mean == pytest.approx(mean, abs=4 * sd / np.sqrt(row.ess_bulk))
    assert row.log_sd == pytest.approx(sd, rel=4 / np.sqrt(2 * row.ess_bulk))
    below = stats.f.cdf(t1 / t0 * d0 / d1, 2 * d1, 2 * d0)  # the ratio of the two has an F law
    assert row.prob_below_1 == pytest.approx(below, abs=4 * np.sqrt(below * (1 - below) / row.ess_bulk))


def test_survival_is_that_of_the_arm(patients, tmp_path):
    found = bn.run(bn.read_specification(specified(tmp_path, patients)))
    rows = found.tables["survival"].query("quantity == 'survival' and time == 12").set_index("arm")
    assert set(rows["profile"]) == {"reference"}
    for arm, own in patients.groupby("arm"):
        rate = special.gammaincinv(own["os_event"].sum(), 0.5) / own["os_time"].sum()
        assert rows.loc[arm, "estimate"] == pytest.approx(np.exp(-12 * rate), abs=5 * rows.loc[arm, "mcse"])
    # from randomisation arms are compared as they were assigned, and no landmark has selected them
    (row,) = found.tables["arms"].query("quantity == 'survival' and time == 12").itertuples()
    assert (row.landmark, row.arm, row.against, row.averaged_over) == ("0 d", "B", "A", EVERYONE)
    assert (row.of_against, row.of_arm) == pytest.approx(tuple(rows["estimate"]), rel=1e-9)
    assert row.estimate == pytest.approx(row.of_arm - row.of_against, abs=5 * row.mcse)
    assert not row.note


def test_the_report_speaks_of_arms_and_not_of_shrinkage(patients, tmp_path):
    covariates = [{"name": "sex", "levels": ["f", "m"]}]
    spec = specified(tmp_path, patients, covariates=covariates, priors={"hazard_ratio_arm": [0.1, 10]})
    code, shown, error = invoke("run", spec, "--out", tmp_path / "found")
    assert (code, error) == (0, "")
    assert "this arm, against A, is" in " ".join(shown.split())
    page = (tmp_path / "found" / "report.html").read_text("utf-8")
    assert "this arm, against A, is" in page
    assert "Shrinkage is not in these models" in page
    for untrue in (
        "greater shrinkage",
        "with more shrinkage",
        "Tumour size is measured",
        "shrinking a tumour",
    ):
        assert untrue not in page
    figures = {path.stem for path in (tmp_path / "found" / "figures").iterdir()}
    assert {"comparison_os_without_shrinkage_arm", "comparison_os_without_shrinkage_covariate"} <= figures
    assert not any("prior_posterior" in name or "forest" in name for name in figures)
    assert set(read_result(tmp_path / "found").tables["hazard_ratios"]["estimand"]) == {"arm", "covariate"}
    scenarios = [{"name": "own baselines", "change": {"baseline.arms": "per arm"}}]
    spec = specified(
        tmp_path, covariates=covariates, priors={"hazard_ratio_arm": [0.1, 10]}, scenarios=scenarios
    )
    code, shown, error = invoke("scenarios", spec, "--out", tmp_path / "more")
    assert (code, error) == (0, "")
    assert "1 to 1" not in shown


def test_everyone_at_risk_is_in_the_model_with_scans_or_without(tmp_path):
    cohort = bn.simulate_cohort(seed=1)
    at_zero = bn.landmark(cohort, ["0d", "150d"], intention_to_treat=True)
    assert len(at_zero.at("0 d")) == len(cohort.patients)
    later = cohort.patients["pfs_time"] > 150 / 30.4375
    assert len(at_zero.at("150 d")) == later.sum() > len(bn.landmark(cohort, ["150d"]).at("150 d"))
    data = bn.expose(at_zero, "0 d", cuts=[6.0], measure=WithoutShrinkage())
    assert not data.score.any()
    with pytest.raises(InputError, match="'0 d' is at time zero, when no scan is after the baseline"):
        bn.landmark(cohort, ["0d"])
    assert measure_of(measure_attrs(WithoutShrinkage())) == WithoutShrinkage()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slopes": "per arm"}, 'missing: scans; without any, slopes = "none" asks for arms'),
        ({"landmarks": {"times": ["no limit"]}}, '"no limit", which is about shrinkage'),
        ({"landmarks": {"thresholds": [30]}}, "thresholds are about shrinkage; remove them"),
        ({"baseline": {"arms": "per arm"}}, "leaves no hazard ratio where arms have baselines"),
        ({"slopes": "common", "data": {"scans": "scans.csv"}}, "begins at time zero"),
    ],
)
def test_what_is_about_shrinkage_is_refused_without_it(patients, tmp_path, changes, message):
    with pytest.raises(SpecificationError, match=message):
        bn.read_specification(specified(tmp_path, patients, **changes))


def test_one_arm_without_covariates_has_no_hazard_ratio(patients, tmp_path):
    alone = patients[patients["arm"] == "A"]
    spec = specified(tmp_path, alone, data={"arms": ["A"]})
    with pytest.raises(InputError, match="one arm and no covariate"):
        bn.prepare(bn.read_specification(spec))
