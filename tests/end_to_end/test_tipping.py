"""Tipping points of censoring: where a word is lost, what is never quoted, and scenarios that find it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import small_trial
from scenario_plans import written
from scipy.stats import norm
from test_scenarios_run import command
from test_synthesis_run import written as written_pool

import bayes_net as bn
from bayes_net.checks.tipping import FACTORS, censoring_tipping, with_words
from bayes_net.errors import InputError, SpecificationError
from bayes_net.figures.scenarios import censoring_curves, draw_censoring
from bayes_net.report.scenarios import tipping_sentences, tipping_to_read
from bayes_net.robustness.scenarios import plan
from bayes_net.robustness.sensitivity import assumed, curve_of, with_factors
from bayes_net.schema import ANY_TIME, AS_SPECIFIED
from bayes_net.workflow.analysis import analyse, prepare
from bayes_net.workflow.write import write

SD = 0.1


def curve(z, *, factors=FACTORS, as_specified=1.0, mcse=0.0, **changes) -> pd.DataFrame:
    """One hazard ratio whose probability of being below 1 has the normal quantile ``z(factor)``."""
    rows = [(as_specified, True)] + [(factor, False) for factor in factors]
    table = pd.DataFrame(rows, columns=["factor", "as_specified"])
    table["prob_below_1"] = norm.cdf([z(factor) for factor in table["factor"]])
    table["hr"] = np.exp([-SD * z(factor) for factor in table["factor"]])
    table["lower"], table["upper"] = table["hr"] * np.exp(-2 * SD), table["hr"] * np.exp(2 * SD)
    # the error of a median, on the scale of the normal quantile, is that of the log over its SD
    table = table.assign(log_sd=SD, mcse_hr=mcse * SD * table["hr"], gate="passed", arm="B")
    about = {"endpoint": "pfs", "measure": "shrinkage, per 10 points", "estimand": "association"}
    about |= {"landmark": "150 d", "biased": False, "population": "pfs risk set"}
    return table.assign(**(about | changes))


def only(table: pd.DataFrame) -> pd.Series:
    assert len(table) == 1
    return table.iloc[0]


def read(tipping: pd.DataFrame) -> pd.DataFrame:
    """The only table that is made of it."""
    [(caption, table)] = tipping_to_read(tipping)
    assert caption.startswith("PFS; ")
    return table


# --- the tipping point --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1.1, 1.6, 2.2, 3.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_word_is_lost_where_the_normal_quantile_falls_below_its_band(at, sign):
    """Linear in log factor, as interpolated, so the answer is exact; a longer and a shorter time alike."""
    needed, start = norm.ppf(0.95), 2.1
    slope = (start - needed) / np.log(at)
    found = only(censoring_tipping(curve(lambda f: sign * (start - slope * np.log(f)))))
    assert (found["word"], found["time"]) == ("very probably", "longer" if sign == 1 else "shorter")
    assert (found["band"], found["lowest"], found["highest"]) == (0.95, 0.25, 4.0)
    assert found["prob"] == pytest.approx(norm.cdf(start))
    assert found["above"] == pytest.approx(at, rel=1e-9)
    assert np.isnan(found["below"])
    mirrored = only(censoring_tipping(curve(lambda f: sign * (start + slope * np.log(f)))))
    assert mirrored["below"] == pytest.approx(1 / at, rel=1e-9) if at < 4 else np.isnan(mirrored["below"])
    assert np.isnan(mirrored["above"])


def test_the_error_moves_the_tipping_point_to_both_sides():
    needed = norm.ppf(0.95)
    slope, error = 0.5, 0.1
    found = only(censoring_tipping(curve(lambda f: needed + 0.3 - slope * np.log(f), mcse=error)))
    assert found["above"] == pytest.approx(np.exp(0.3 / slope), rel=1e-9)
    # moved at every factor but the one as specified; between 1.6 and 2.5 all of it
    assert found["above_nearest"] == pytest.approx(np.exp((0.3 - error) / slope), rel=0.05)
    assert found["above_farthest"] == pytest.approx(np.exp((0.3 + error) / slope), rel=1e-9)
    barely = only(censoring_tipping(curve(lambda f: needed + 0.6 - 0.42 * np.log(f), mcse=error)))
    assert np.isnan(barely["above"])
    assert barely["above_nearest"] < 4
    assert read(pd.DataFrame([barely]))["Lost above"][0].startswith("holds to × 4 (or lost at 3")


def test_the_first_factor_outwards_counts_and_a_factor_of_nothing_has_no_logarithm():
    z = {0.0: 1.0, 0.5: 2.0, 1.0: 2.0, 2.0: 1.0, 4.0: 3.0, 8.0: 1.0}
    found = only(censoring_tipping(curve(z.get, factors=(8.0, 0.0, 4.0, 0.5, 2.0))))
    assert 1 < found["above"] < 2
    assert found["below"] == pytest.approx(0.5 * (1 - (2 - norm.ppf(0.95))))
    assert (found["lowest"], found["highest"]) == (0.0, 8.0)


def test_the_analysis_as_specified_stands_for_its_own_factor():
    """The same factor imputed differs by Monte-Carlo error, which must not take a word away."""
    table = curve(lambda f: 1.7 - 0.1 * np.log(f))
    table.loc[(table["factor"] == 1) & ~table["as_specified"], "prob_below_1"] = 0.5
    assert only(censoring_tipping(table))["above"] > 1.6
    from_two = curve(lambda f: 1.7 - 0.5 * np.log(f / 2), as_specified=2.0)
    found = only(censoring_tipping(from_two))
    assert found["factor"] == 2.0
    assert found["above"] == pytest.approx(2 * np.exp((1.7 - norm.ppf(0.95)) / 0.5), rel=1e-6)


def test_what_failed_is_biased_or_unclear_loses_no_word():
    unclear = only(censoring_tipping(curve(lambda f: 0.5)))
    assert (unclear["word"], unclear["time"]) == ("unclear", "")
    assert np.isnan([unclear[name] for name in ("band", "below", "above")]).all()
    text = read(pd.DataFrame([unclear])).iloc[0]
    assert (text["As specified"], text["Lost below"], text["Lost above"]) == ("unclear", "–", "–")
    assert censoring_tipping(curve(lambda f: 2.0, biased=True)).empty
    table = curve(lambda f: 2.0 - np.log(f))
    whole = only(censoring_tipping(table))["above"]
    table.loc[table["factor"] == 1.6, "gate"] = "failed"
    assert only(censoring_tipping(table))["above"] == pytest.approx(whole)  # on the same line
    table.loc[table["factor"] > 1, "gate"] = "failed"
    found = only(censoring_tipping(table))
    assert np.isnan(found["above"])
    assert found["highest"] == 1.0
    table.loc[table["as_specified"], "gate"] = "failed"
    assert censoring_tipping(table).empty
    with pytest.raises(InputError, match="no analysis as specified"):
        censoring_tipping(table[~table["as_specified"]])


def test_hazard_ratios_are_kept_apart_and_the_soonest_loss_is_told():
    both = pd.concat(
        [
            curve(lambda f: 2.0 - 0.5 * np.log(f)),
            curve(lambda f: 2.0 + 0.3 * np.log(f), arm="A", landmark="36 w"),
            curve(lambda f: 3.0, arm="A"),
        ],
        ignore_index=True,
    )
    found = censoring_tipping(both).set_index(["landmark", "arm"])
    assert found.loc[("150 d", "B"), "above"] == pytest.approx(np.exp((2 - norm.ppf(0.95)) / 0.5))
    assert found.loc[("36 w", "A"), "below"] == pytest.approx(np.exp((norm.ppf(0.95) - 2) / 0.3))
    assert found.loc[("150 d", "A"), ["below", "above"]].isna().all()
    [said] = tipping_sentences(censoring_tipping(both))
    assert "of 3 verbal conclusions, 2 would be lost at some factor from 0.25 to 4; " in said
    assert "the soonest (PFS, 150 d, B" in said
    assert said.endswith("at × 2.")
    [said] = tipping_sentences(censoring_tipping(both[both["landmark"] == "150 d"].query("arm == 'A'")))
    assert said == "Informative censoring: of 1 verbal conclusion, none is lost at factors from 0.25 to 4."
    text = read(found.reset_index())
    assert text["Landmark"].tolist() == ["150 d", "36 w", "150 d"]
    assert not list(tipping_to_read(found.reset_index().assign(estimand="covariate")))
    assert not list(tipping_to_read(pd.DataFrame()))
    assert text["Lost above"].tolist()[0] == "× 2 (2 to 2)"
    assert text["Lost below"].tolist()[0] == "holds to × 0.25"


# --- the figure ---------------------------------------------------------------------------------------


def test_the_figure_draws_every_factor_and_hollows_what_lost_its_word():
    table = with_words(
        pd.concat(
            [
                curve(lambda f: 2.0 - np.log(f)),
                curve(lambda f: 2.0, arm="A"),
                curve(lambda f: 0.1, landmark="36 w"),
            ],
            ignore_index=True,
        )
    )
    first, second = censoring_curves(table)
    assert [panel.get_title(loc="left") for panel in (first, second)] == ["150 d", "36 w"]
    marks = [line for line in first.lines if line.get_gid() == "hr"]
    assert len(marks) == 2 * len(FACTORS)  # the analysis as specified instead of factor 1
    hollow = [line for line in marks if line.get_markerfacecolor() == "white"]
    assert sorted(line.get_xdata()[0] for line in hollow) == pytest.approx(
        [f * 0.975 for f in (1.6, 2.5, 4.0)]
    )
    large = [line for line in marks if line.get_markersize() == 7]
    np.testing.assert_allclose([line.get_ydata()[0] for line in large], [np.exp(-2 * SD)] * 2)
    assert all(
        line.get_markerfacecolor() == "white" for line in second.lines if line.get_gid() == "hr"
    )  # it has none to keep
    [(name, _, _, caption, alt)] = draw_censoring(table)
    assert name == "censoring_pfs"
    assert "Filled: its word holds" in caption
    assert "holds in 11 of 21 refits" in alt
    assert not [*draw_censoring(pd.DataFrame())]


# --- scenarios ----------------------------------------------------------------------------------------

FEW = {"censoring": {"imputations": 2, "shrinkage_below": 25}, "grid": {"censoring.factor": [0.5, 4.0]}}


def test_the_command_adds_the_factors_that_are_not_tried_already(tmp_path):
    plain = bn.read_specification(written(tmp_path / "plain"))
    made = plan(with_factors(plain))
    assert [each.name for each in made] == [AS_SPECIFIED, *(f"censoring factor {f:g}" for f in FACTORS)]
    assert made[0].specification.censoring is None
    assert [each.specification.censoring.factor for each in made[1:]] == list(FACTORS)
    assert made[0].specification.digest == plain.digest
    own = bn.read_specification(written(tmp_path / "own", **FEW))
    made = plan(with_factors(own))
    assert len(made) == 1 + len(FACTORS) + 1  # 4 is tried already, 0.5 is not a default
    assert {each.specification.censoring.shrinkage_below for each in made} == {25}
    assert "with a shrinkage of below 25 points" in assumed(made)
    assert assumed(made[:1]) == ""
    network = bn.read_specification(written_pool(tmp_path / "pool"))
    with pytest.raises(SpecificationError, match="analyses of patients, and this is a synthesis"):
        with_factors(network)


def test_only_single_changes_of_the_factor_make_the_curve(tmp_path):
    specification = bn.read_specification(
        written(tmp_path, censoring={"factor": 2.0}, grid={"censoring.factor": [0.5], "slopes": ["common"]})
    )
    assert curve_of(plan(specification), pd.DataFrame()).empty
    made = plan(with_factors(specification, [3.0]))
    rows = pd.DataFrame({"scenario": [each.name for each in made]})
    columns = ("endpoint", "population", "estimand", "landmark", "biased", "level", "interval", "log_sd")
    rows = rows.assign(**dict.fromkeys(columns, ""))
    rows = rows.assign(
        gate="passed", measure="x", arm="A", hr=0.8, lower=0.7, upper=0.9, prob_below_1=0.99, mcse_hr=0.0
    )
    found = curve_of(made, rows)
    assert found[["factor", "as_specified"]].values.tolist() == [[2.0, True], [3.0, False]]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"arms": ["placebo"]}, "censoring.arms has placebo; the arms are control, treated"),
        ({"shrinkage_at_least": 99}, "there is none with follow-up left to impute"),
        ({"horizon": "1d"}, "there is none with follow-up left to impute"),
    ],
)
def test_what_concerns_nobody_is_refused_before_sampling(tmp_path, section, said):
    path = written(tmp_path, censoring=section)
    with pytest.raises(InputError, match=said):
        prepare(bn.read_specification(path))


def test_the_section_takes_shrinkage_itself_for_a_response_too(tmp_path):
    path = small_trial.written(tmp_path, landmarks={"times": ["120d"]}, censoring={"shrinkage_below": 25})
    continuous, response = prepare(bn.read_specification(path)).jobs
    assert response.measure.threshold == 30
    np.testing.assert_array_equal(continuous.concerned, response.concerned)
    assert 0 < continuous.concerned.sum() < (continuous.data.event == 0).sum()


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The folder of a finished grid, by the command, in one process."""
    folder = tmp_path_factory.mktemp("censoring")
    path = written(folder, **FEW)
    subprocess.run(command(path, folder / "one"), capture_output=True, check=False)
    return folder, path


def test_the_results_are_the_same_in_processes(grid):
    folder, path = grid
    subprocess.run([*command(path, folder / "two"), "--jobs", "2"], capture_output=True, check=False)
    one, two = (bn.read_result(folder / name).tables for name in ("one", "two"))
    for name in ("scenarios", "censoring"):
        pd.testing.assert_frame_equal(one[name], two[name], check_exact=True)


def test_the_result_says_what_was_assumed_and_names_nobody(grid):
    folder, _ = grid
    result = bn.read_result(folder / "one")
    assert sorted(result.tables["censoring"]["factor"].unique()) == [0.5, 1.0, 4.0]
    assert result.tables["censoring"].loc[lambda t: t["factor"] == 1, "as_specified"].all()
    page = (folder / "one" / "report.html").read_text()
    assert "Assumed of censored patients with a shrinkage of below 25 points" in page
    assert "no data can tell the factor" in page
    files = [file for file in (folder / "one").rglob("*") if file.is_file()]
    assert not any(small_trial.MARKER.encode() in file.read_bytes() for file in files)


def test_a_run_under_informative_censoring_says_so_and_leaves_out_what_it_cannot_check(tmp_path):
    landmarks = {"times": ["120d", "180d"], "thresholds": None}
    section = {"factor": 3.0, "imputations": 2, "arms": ["treated"], "horizon": "24mo"}
    path = small_trial.written(tmp_path, **small_trial.QUICK, landmarks=landmarks, censoring=section)
    analysis = analyse(prepare(bn.read_specification(path)))
    assert all(f.fit.attrs["censoring_factor"] == 3.0 for f in analysis.fits)
    ordinary = small_trial.written(tmp_path / "plain", **small_trial.QUICK, landmarks=landmarks)
    before = analyse(prepare(bn.read_specification(ordinary)))
    assert not (analysis.tables["hazard_ratios"]["landmark"] == ANY_TIME).any()
    ordinary_ratios = before.tables["hazard_ratios"].query("landmark != @ANY_TIME").reset_index(drop=True)
    counts = ["n", "events"]  # as observed
    pd.testing.assert_frame_equal(analysis.tables["hazard_ratios"][counts], ordinary_ratios[counts])
    assert not np.allclose(analysis.tables["hazard_ratios"]["hr"], ordinary_ratios["hr"], rtol=1e-3)
    # worst of the ordinary fit and of each imputation
    where = analysis.gate["where"]
    assert where.str.startswith(("imputation", "before imputation")).all()
    folder = write(analysis, tmp_path / "out")
    page = (folder / "report.html").read_text()
    assert "Under informative censoring, not the ordinary analysis." in page
    assert "their hazard is the model’s times 3" in page
    [first, *_] = analysis.fits
    open_ended, treated = first.job.data.event == 0, first.job.data.arm == 1
    counts = f"PFS, shrinkage, 120 d: {(open_ended & treated).sum()} of {open_ended.sum()}, "
    assert counts in page
    assert "Censoring is taken as uninformative" not in page
    assert not [
        name for name in ("loo", "predictive_check", "power_scaling") if (folder / f"{name}.csv").exists()
    ]
    result = bn.read_result(folder)
    assert (result.tables["hazard_ratios"]["censoring_factor"] == 3).all()
    papers = bn.paper.tables(result.tables)
    assert papers
    assert all("INFORMATIVE CENSORING ASSUMED" in table.title for table in papers.values())
    assert all("imputed at 3 times the model’s hazard" in table.notes[0] for table in papers.values())
    posterior = result.posterior()
    assert "patient" not in {dim for node in posterior.subtree for dim in node.sizes}
    assert posterior["pfs_shrinkage/posterior"]["imputation"].values.tolist() == [1, 1, 2, 2]
    assert (posterior["pfs_shrinkage/constant_data"]["n_concerned"].sel(arm="control") == 0).all()
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert not any(small_trial.MARKER.encode() in file.read_bytes() for file in files)


def test_reading_a_plan_does_not_load_the_sampler():
    code = (
        "import sys, bayes_net.workflow.patients, bayes_net.checks.tipping; sys.exit('pymc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
