"""What stands in cells, names and sources of tables that no file could hold."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort_tables import changed, people, read, sizes

from bayes_net.errors import CohortError
from bayes_net.tables.reading import read_table

NOT_PLAIN = {
    "list": [1, 2],
    "array": np.array([1, 2]),
    "frame": pd.DataFrame({"a": [1]}),
    "signalling NaN": Decimal("sNaN"),
    "a number of 400 digits": 10**400,
    "a number of 5000 digits": 10**5000,
    "lone surrogate": "\ud800",
    "table": {"a": 1},
    "bytes": b"x",
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
@pytest.mark.parametrize("column", ["patient", "arm", "pfs_time", "pfs_event", "age"])
def test_a_cell_that_is_no_single_value_is_refused_with_its_row(kind, column):
    patients = people()
    patients[column] = pd.Series([NOT_PLAIN[kind], *patients[column][1:]], dtype=object)
    with pytest.raises(CohortError, match=rf"values of {column} that are no single text.*row 0"):
        read(patients, covariates=["age"])
    scans = sizes()
    scans["size"] = pd.Series([NOT_PLAIN[kind], *scans["size"][1:]], dtype=object)
    with pytest.raises(CohortError, match=r"the scan table: values of size that are no single text"):
        read(None, scans)


def test_columns_on_two_levels_are_refused():
    patients = people()
    patients.columns = pd.MultiIndex.from_product([["trial"], patients.columns])
    with pytest.raises(CohortError, match="names on 2 levels"):
        read(patients)


def test_names_that_cannot_be_written_keep_nobody_from_reading_the_others():
    patients = people().rename(columns={"age": 10**5000, "grade": "\ud800"})
    patients.index = pd.Index([10**5000, 1, 2, 3], dtype=object)
    assert len(read(patients).patients) == 4
    with pytest.raises(CohortError, match="row 2 "):
        read(changed(patients, 2, pfs_event=7))


@pytest.mark.parametrize(
    "source", [3, b"x.csv", [], None, "\0.csv", "\ud800.csv", "x" * 5000 + ".csv", "/dev/zero"]
)
def test_what_is_no_file_is_refused(source):
    with pytest.raises(CohortError, match=r"no such file|the name of a file|file ending"):
        read_table(source, "patient")


def test_a_list_column_of_parquet_is_refused_where_it_is_needed(tmp_path):
    table = pa.Table.from_pandas(people()[["patient", "arm", "pfs_event", "os_time", "os_event"]].astype(str))
    table = table.append_column("pfs_time", pa.array([[300.0], [200.0], [400.0], [350.0, 1.0]]))
    pq.write_table(table, tmp_path / "patients.parquet")
    with pytest.raises(CohortError, match="values of pfs_time that are no single text"):
        read(tmp_path / "patients.parquet")
    assert read(tmp_path / "patients.parquet", patient_columns={"pfs_time": "os_time"}).patients.shape[0] == 4
