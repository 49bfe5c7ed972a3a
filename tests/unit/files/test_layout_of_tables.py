"""What programs export is read as they mean it, or refused; nothing with two meanings is read in silence."""

import pandas as pd
import pyreadstat
import pytest

from bayes_net.errors import CohortError
from bayes_net.files.formats import read_file
from bayes_net.tables.values import iso_date, text


def read(path, content):
    path.write_text(content, encoding="utf-8")
    return read_file(path)[1]


@pytest.mark.parametrize("mark", [".", ","])
def test_thousands_apart_are_refused(tmp_path, mark):
    table = f"id;days;size\n1;350;12\n2;1{mark}169;8\n3;;7\n4;87;1\n"
    with pytest.raises(
        CohortError, match=rf"values of days such as 1\{mark}169 among whole numbers"
    ) as refused:
        read(tmp_path / "a.csv", table)
    assert "Write 1169; if 1.169 is meant, 1.1690." in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        ["1.169", "2.250", "0.875"],  # all with decimals
        ["350", "1.169", "1.2"],  # some with other decimals
        ["350", "1.169", "1250"],  # a thousand without a mark
        ["3", "1.169", "12"],  # small numbers
        ["350", "0.169", "120"],  # no thousands
        ["350", "1.169", "NR"],  # no column of numbers
    ],
)
def test_decimals_are_no_thousands(tmp_path, values):
    rows = "\n".join(f"{i},{value}" for i, value in enumerate(values))
    assert read(tmp_path / "a.csv", f"id,value\n{rows}\n")["value"].tolist() == values


def test_names_of_groups_above_the_header_are_left_out(tmp_path):
    path = tmp_path / "a.csv"
    found = read(path, "Person,,Efficacy\npatient,arm,days\n1,a,30\n2,b,40\n")
    assert list(found) == ["patient", "arm", "days"]
    assert found["days"].tolist() == ["30", "40"]
    assert read_file(path)[0] == ("1 row above the header left out",)


@pytest.mark.parametrize(
    "first", ["P1,a,PR", "P1,a,30", "P1,a,"], ids=["words that recur", "a number", "a gap"]
)
def test_a_row_of_data_is_no_header(tmp_path, first):
    """The first column has no name, as R writes row names."""
    found = read(tmp_path / "a.csv", f",arm,value\n{first}\nP2,a,PR\nP3,b,SD\n")
    assert list(found) == ["", "arm", "value"]
    assert len(found) == 3


@pytest.mark.parametrize("ending", [".dta", ".sav"])
def test_values_with_labels_are_read_by_them(tmp_path, ending):
    path = tmp_path / f"patients{ending}"
    table = pd.DataFrame({"id": ["a", "b", "c"], "arm": [1, 2, 1], "days": [10.0, None, 30.0]})
    write = pyreadstat.write_dta if ending == ".dta" else pyreadstat.write_sav
    write(table, str(path), variable_value_labels={"arm": {1: "control", 2: "PRRT"}})
    handled, found = read_file(path)
    assert found["arm"].tolist() == ["control", "PRRT", "control"]
    assert text(found["days"]).tolist() == ["10", None, "30"]
    assert handled == ("values of arm read by their labels",)


@pytest.mark.parametrize(
    ("given", "date"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T23:30:00-05:00", "2026-03-01"),
        ("1.3.2026", "2026-03-01"),
        ("01MAR2026", "2026-03-01"),
        ("01-Mar-2026", "2026-03-01"),
        *dict.fromkeys(
            ["03/01/2026", "2026-03", "2026", "31.02.2026", "13.13.2026", "01XYZ2026", "1.3.26", ""]
        ).items(),
    ],
)
def test_a_date_is_one_that_can_be_read_one_way_only(given, date):
    assert iso_date(given) == date
