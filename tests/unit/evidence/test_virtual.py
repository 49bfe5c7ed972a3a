"""What rows take from virtual trials: standard errors and correlations that no paper prints."""

import shutil

import numpy as np
import pytest

from bayes_net.data.landmarks import landmark_times
from bayes_net.evidence.table import EvidenceError, read_evidence
from bayes_net.evidence.virtual import biases, carried
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.statistics.kinds import datum
from bayes_net.tables.shipped import models_folder

DATA = models_folder() / "data"


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
