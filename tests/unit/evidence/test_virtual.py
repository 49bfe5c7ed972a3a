"""What rows take from virtual trials: standard errors and correlations that no paper prints."""

import shutil

import numpy as np
import pytest

from bayes_net.data.landmarks import landmark_times
from bayes_net.evidence.table import EvidenceError, read_evidence
from bayes_net.evidence.virtual import BIAS, SHARE, biases, carried, told_without
from bayes_net.simulate.ensemble import virtual_trials, without_study
from bayes_net.specification.read import read_specification
from bayes_net.statistics.kinds import datum
from bayes_net.tables.shipped import models_folder
from bayes_net.workflow.analysis import prepare

DATA = models_folder() / "data"
COHORT = "Halperin 2024"


@pytest.fixture(scope="module")
def shipped():
    return read_evidence(DATA / "netter1.csv")


def said(evidence) -> dict:
    rows = evidence.rows("likelihood")
    return {row.id: (row, datum(row)) for row in rows[rows["said"] != ""].itertuples()}


def test_statements_have_the_standard_errors_of_the_virtual_trials(shipped):
    for row, one in said(shipped).values():
        expected = virtual_trials().arm(row.arm).standard_error
        assert one.se == pytest.approx(expected(row.landmark).median)
        assert one.log_se_sd == pytest.approx(expected(row.landmark).log_sd)
        # the more negative the slope, the less shrinkage varies among those at risk, and the larger the error
        change = np.log(expected(row.landmark, 0.5).median / expected(row.landmark, -0.5).median)
        assert one.se_tilt == pytest.approx(change)
        assert one.se_tilt < 0


def test_printed_standard_errors_are_held_against_those_of_the_virtual_trials(shipped):
    """In SDs of the logarithm, near the printed slope."""
    one = datum(next(row for row in shipped.rows("likelihood").itertuples() if row.id == "N10"))
    expected = virtual_trials().arm("control").standard_error
    tilt = np.log(expected("150d", 0.5).median / expected("150d", -0.5).median)
    away = np.log(one.se / expected("150d").median) - tilt * one.value
    assert one.se_excess == pytest.approx(away / expected("150d").log_sd)
    assert 0.5 < one.se_excess < 1.0
    assert (one.log_se_sd, one.se_tilt) == (0.0, 0.0)


def test_rows_of_an_arm_are_correlated_as_its_virtual_trials_are(shipped):
    row = shipped.table.set_index("id").loc["N43"]
    found = dict(zip(row["correlated_with"].split(";"), row["correlation"].split(";"), strict=True))
    assert set(found) == {"N10", "N11", "N42"}
    assert float(found["N10"]) == virtual_trials().arm("control").correlation_of("36w", "150d")


def test_errors_are_scaled_and_correlations_left_out_where_that_is_asked_for(shipped):
    wider = read_evidence(DATA / "netter1.csv", se_factor=1.5, correlated=False)
    for name, (row, one) in said(wider).items():
        assert one.se == pytest.approx(1.5 * said(shipped)[name][1].se)
        assert set(row.correlation.split(";")) <= {"0.0", ""}
    for row, other in zip(
        wider.rows("likelihood").itertuples(), shipped.rows("likelihood").itertuples(), strict=True
    ):
        assert row.said or datum(row).se_excess == pytest.approx(datum(other).se_excess, nan_ok=True)


def test_without_a_study_rows_take_what_trials_without_it_tell(shipped):
    found, other = read_evidence(DATA / "netter1.csv", virtual_without=COHORT), without_study(COHORT)
    for name, (row, one) in said(found).items():
        assert one.se == pytest.approx(other.arm(row.arm).standard_error(row.landmark).median)
        assert (one.se == said(shipped)[name][1].se) == (row.arm == "control")
    same = read_evidence(DATA / "netter1.csv", virtual_without="NETTER-1")
    assert same.table.equals(shipped.table)


def test_what_trials_tell_stands_beside_what_they_tell_without_a_study():
    whole, other = virtual_trials(), without_study(COHORT)
    table = told_without(whole, {COHORT: other}).set_index(["quantity", "landmark"])
    assert set(table["arm"]) == {"177Lu"}
    assert set(table["without"]) == {COHORT}
    row = table.loc[(SHARE, "36w")]
    assert (row["value"], row["sd"]) == whole.arm("177Lu").carried("36w")
    assert (row["value_without"], row["sd_without"]) == other.arm("177Lu").carried("36w")
    assert list(table.loc[BIAS].index) == ["no limit"]
    assert table.loc[(BIAS, "no limit"), "value_without"] == other.arm("177Lu").bias.value
    assert len(table) == 2 * 6 + 1


def test_leaving_a_study_out_leaves_out_what_virtual_trials_know_from_it():
    plan = read_specification("prrt_pooled").with_(slopes={"structure": "tracking"})
    prepared = prepare(plan)
    assert list(prepared.virtual_without) == [COHORT]
    whole, without, alone = prepared.network, prepared._without(COHORT), prepared._without("ILUMINET")
    assert alone.assumptions is whole.assumptions
    assert alone.data == whole.data
    own = (whole.rows["study"] == COHORT).to_numpy()
    assert own.any()
    assert ((without.power == 0) == own).all()
    marks = {"150 d": "150d", "72 w": "72w"}
    for label, written in marks.items():
        at, shares = whole.landmarks.index(label), without.slope_shares
        assert shares[1, at] == without_study(COHORT).arm("177Lu").carried(written).value
        assert shares[0, at] == whole.slope_shares[0, at]
    other = without_study(COHORT).arm("177Lu").bias
    assert without.assumptions.bias["177Lu"] == pytest.approx((other.value / 10, other.sd / 10))


def test_what_a_row_gives_itself_is_kept(tmp_path):
    shutil.copy(DATA / "virtual_trials.json", tmp_path)
    text = (DATA / "netter1.csv").read_text()
    header = text.splitlines()[0].replace("virtual_trials", "se,virtual_trials")
    lines = [line for line in text.splitlines() if line.startswith("N37,")]
    lines = [line.replace("virtual_trials.json", "0.05,virtual_trials.json") for line in lines]
    (tmp_path / "own.csv").write_text("\n".join([header, *lines]) + "\n")
    ((_, one),) = said(read_evidence(tmp_path / "own.csv")).values()
    assert (one.se, one.log_se_sd) == (pytest.approx(0.5), 0.0)


def test_a_file_that_is_not_there_or_is_none_is_told(tmp_path):
    table = tmp_path / "netter1.csv"
    shutil.copy(DATA / "netter1.csv", table)
    with pytest.raises(EvidenceError, match=r"virtual_trials\.json are named by rows; expected that file"):
        read_evidence(table)
    (tmp_path / "virtual_trials.json").write_text("{}")
    with pytest.raises(EvidenceError, match="cannot be read as virtual trials"):
        read_evidence(table)


def test_statements_become_records_where_they_are_not_wanted():
    found = read_evidence(DATA / "netter1.csv", statements=False)
    assert not said(found)
    assert set(found.table.set_index("id").loc[["N10", "N37"], "use"]) == {"likelihood", "record"}


def test_biases_are_per_point():
    control = virtual_trials().arm("control").bias
    assert biases(virtual_trials())["control"] == pytest.approx((control.value / 10, control.sd / 10))


def test_what_a_landmark_carries_is_that_of_the_virtual_trials():
    """By the label that a fit has; a landmark that no virtual trial has is left out."""
    marks, ensemble = landmark_times(["150d", "400d", "no limit"]), virtual_trials()
    found = carried(ensemble, marks)
    assert set(found) == {"control", "177Lu"}
    for name, own in found.items():
        expected = {mark: ensemble.arm(name).carried(given).value for mark, given in NAMED.items()}
        assert own == expected
        assert own["150 d"] != ensemble.arm(name).tracking("150d").value


NAMED = {"150 d": "150d", "no limit": "no limit"}
