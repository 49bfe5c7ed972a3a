"""Results side by side: ratios and shifts against the first, and what differed between the runs."""

import shutil

import fake_results
import numpy as np
import pandas as pd
import pytest
from test_result_folder import SPECIFICATION, TOLD, command, written

import bayes_net as bn
from bayes_net.errors import InputError
from bayes_net.report.synthesis import SYNTHESIS


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "first")
    return tmp_path / "first"


@pytest.fixture
def pair(tmp_path, folder):
    """Two results; the second has doubled hazard ratios in the first arm, no 72 w, and another seed."""
    ratios = fake_results.hazard_ratios()
    ratios["log_sd"] = 0.1
    doubled = ratios["hr"].where(ratios["arm"] != fake_results.ARMS[0], 2 * ratios["hr"])
    other = ratios.assign(hr=doubled)[ratios["landmark"] != "72 w"]
    shutil.rmtree(folder)
    written(folder, content=fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))
    written(
        tmp_path / "second",
        content=fake_results.content(found=fake_results.tables(hazard_ratios=other)),
        told=TOLD | {"version pymc": "5.28"},
        specification=SPECIFICATION.replace("seed = 5", "seed = 6").replace("age", "sex"),
    )
    return folder, tmp_path / "second"


def test_ratios_and_shifts_are_against_the_first(pair):
    table = bn.compare(pair).hazard_ratios
    assert list(dict.fromkeys(table["result"])) == ["first", "second"]
    own = table[table["result"] == "first"]
    assert (own["ratio"] == 1).all()
    assert (own["shift"] == 0).all()
    other = table[table["result"] == "second"].set_index("arm")
    np.testing.assert_allclose(other.loc[fake_results.ARMS[0], "ratio"], 2)
    np.testing.assert_allclose(other.loc[fake_results.ARMS[0], "shift"], np.log(2) / 0.1)
    np.testing.assert_allclose(other.loc[fake_results.ARMS[1], "ratio"], 1)
    assert len(table) == 12 + 10


def test_what_differed_is_named_key_by_key(pair):
    found = bn.compare(pair).differences.set_index("setting")
    assert set(found.index) == {"sampling.seed", "covariates[1].name", "version pymc"}
    assert list(found.loc["sampling.seed"]) == ["5", "6"]
    assert list(found.loc["covariates[1].name"]) == ["age", "sex"]


def test_the_comparison_is_printed_and_written(pair, tmp_path):
    code, said, _ = command("compare", *pair, "--csv", tmp_path / "both.csv")
    assert code == 0
    assert "sampling.seed" in said
    assert "2.00, +6.9 SD" in said
    assert "no limit (biased" in said
    lines = [line for line in said.splitlines() if "72 w" in line]
    assert len(lines) == 2
    assert all("–" in line for line in lines)
    stored = pd.read_csv(tmp_path / "both.csv", dtype={"study": object}).fillna({"study": ""})
    pd.testing.assert_frame_equal(stored, bn.compare(pair).hazard_ratios)


def test_a_failed_gate_is_said_beside_its_number(pair):
    table = bn.compare(pair).to_read()[0]
    assert not table.astype(str).apply(lambda x: x.str.contains("gate failed")).any(axis=None)
    ratios = fake_results.hazard_ratios().assign(log_sd=0.1, gate="failed")
    shutil.rmtree(pair[1])
    written(pair[1], content=fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))
    table = bn.compare(pair).to_read()[0]
    assert table["second"].str.contains("gate failed").all()
    assert not table["first"].str.contains("gate failed").any()


def test_a_quick_look_is_said_beside_its_number(pair):
    ratios = fake_results.hazard_ratios().assign(log_sd=0.1, quick=True)
    shutil.rmtree(pair[1])
    written(pair[1], content=fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))
    table = bn.compare(pair).to_read()[0]
    assert table["second"].str.contains("quick look").all()
    assert not table["first"].str.contains("quick look").any()


def test_three_syntheses_are_compared_by_names_that_tell_them_apart(tmp_path):
    folders = [tmp_path / name / "result" for name in "abc"]
    for each in folders:
        written(each, kind=SYNTHESIS)
    found = bn.compare(folders)
    assert found.names == ("a/result", "b/result", "c/result")
    assert found.differences.empty
    assert set(found.hazard_ratios["estimand"]) >= {"association", "arm"}
    assert (found.hazard_ratios["ratio"] == 1).all()


def test_no_limit_of_a_synthesis_is_compared_by_what_was_done_about_its_bias(tmp_path):
    for name in "ab":
        written(tmp_path / name, kind=SYNTHESIS)
    written(tmp_path / "patients")
    ratios = bn.compare([tmp_path / "a", tmp_path / "b"]).to_read()[0]
    assert set(ratios.loc[ratios["landmark"].str.startswith("no limit"), "landmark"]) == {
        "no limit, as observed (biased: conditions on the future)",
        "no limit, bias taken off (the size of the bias is assumed)",
    }
    found = bn.compare([tmp_path / "a", tmp_path / "b", tmp_path / "patients"]).hazard_ratios
    assert set(found.loc[found["landmark"] == "no limit", "result"]) == {"patients"}


def test_what_cannot_be_compared_is_refused(tmp_path, folder):
    other = tmp_path / "other"
    ratios = fake_results.hazard_ratios().assign(endpoint="os")
    written(other, content=fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))
    for folders, said in (
        ([folder], "two or more"),
        ([folder, folder], "given twice"),
        ([folder, other], "in common"),
        ([folder, tmp_path], "no finished result"),
    ):
        with pytest.raises(InputError, match=said):
            bn.compare(folders)
    assert command("compare", folder, other)[0] == 2


def test_arms_of_other_names_are_compared_where_they_are_said_to_be_the_same(tmp_path, folder):
    control, treated = fake_results.ARMS
    ratios = fake_results.hazard_ratios()
    ratios["arm"] = ratios["arm"].replace({control: "placebo", treated: "PRRT"})
    other = tmp_path / "other"
    written(other, content=fake_results.content(found=fake_results.tables(hazard_ratios=ratios)))
    with pytest.raises(InputError, match=f"first has {control}, {treated}; other has placebo, PRRT"):
        bn.compare([folder, other])
    table = bn.compare([folder, other], arms={"placebo": control, "PRRT": treated}).hazard_ratios
    assert set(table["arm"]) == {control, treated}
    assert (table["ratio"] == 1).all()
    half = bn.compare([folder, other], arms={"PRRT": treated}).hazard_ratios
    assert half.loc[half["arm"] == "placebo", "ratio"].isna().all()
    for wrong, said in (
        ({"Lu": treated}, "no result has an arm Lu"),
        ({"PRRT": "placebo"}, "makes two arms"),
    ):
        with pytest.raises(InputError, match=said):
            bn.compare([folder, other], arms=wrong)
    code, shown, _ = command(
        "compare", folder, other, "--arm", f"placebo={control}", "--arm", f"PRRT={treated}"
    )
    assert code == 0
    assert "placebo" not in shown
    assert command("compare", folder, other, "--arm", "PRRT")[0] == 2
