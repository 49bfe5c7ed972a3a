"""Data sets of SAS (sas7bdat): a whole one that SAS wrote, and ADaM as it would stand in some.

Nothing here writes sas7bdat, and no ADaM study in it is to be had: that of the second test is what pyreadstat
reads of XPORT, in the place of what it would read of sas7bdat.
"""

import adam_files
import damage
import pyreadstat
import pytest

from bayes_net.adam.read import read_adam
from bayes_net.errors import CohortError
from bayes_net.files.formats import read_file
from bayes_net.tables.reading import read_table
from bayes_net.tables.values import parsed, text


def test_a_whole_file_that_sas_wrote_is_read(tmp_path):
    damage.good(".sas7bdat", tmp_path)
    table = read_table(tmp_path / "good.sas7bdat", "row").frame
    assert list(table) == ["integer_row", "text_row", "float_row", "date_row"]
    assert parsed(table["integer_row"])[0].tolist() == [1, 2, 3, 4, 5]
    assert parsed(table["float_row"])[0].tolist() == [2.5, 17.23, 3.21, 100.9, 98.6]
    assert text(table["date_row"]).tolist() == [
        "2018-01-02", "2018-02-05", "2017-11-21", "2016-05-19", "1999-10-25",
    ]  # fmt: skip
    assert text(table["text_row"]).tolist()[3:] == ["Text", "Test"]


def test_a_file_that_breaks_off_is_refused(tmp_path):
    whole = damage.good(".sas7bdat", tmp_path)
    (tmp_path / "half.sas7bdat").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(CohortError, match=r"half\.sas7bdat: the file cannot be read as sas7bdat"):
        read_file(tmp_path / "half.sas7bdat")


@pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
@pytest.mark.parametrize("encoding", ["utf-8", "WINDOWS-1252"])
def test_adam_in_sas7bdat_is_the_cohort_of_the_same_adam_in_xport(tmp_path, monkeypatch, encoding):
    adam_files.write(adam_files.study(), tmp_path, "xpt")
    names = {path: path.with_suffix(".sas7bdat") for path in tmp_path.glob("*.xpt")}
    expected = read_adam(str(tmp_path / "*.xpt"))
    for path, other in names.items():
        path.rename(other)

    def read_sas7bdat(path, encoding=None, wanted=encoding):
        if wanted != "utf-8" and encoding != wanted:
            raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte")
        return pyreadstat.read_xport(path)

    monkeypatch.setattr(pyreadstat, "read_sas7bdat", read_sas7bdat)
    cohort = read_adam(tmp_path)
    assert cohort == expected
    assert cohort.origin == tuple(
        each._replace(data_set=each.data_set.replace(".xpt", ".sas7bdat")) for each in expected.origin
    )
