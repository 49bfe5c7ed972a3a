"""What is written as ADaM is read back as it was, in either format; and is Dataset-JSON 1.1."""

import json
import re
from datetime import UTC, datetime, timedelta

import adam_files
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bayes_net.adam.read import read_adam
from bayes_net.adam.write import FORMATS, adam_datasets, write_adam
from bayes_net.data.cohort import read_cohort
from bayes_net.errors import CohortError, InputError
from bayes_net.simulate.cohort import simulate_cohort

pytestmark = pytest.mark.filterwarnings("ignore::bayes_net.errors.CohortWarning")
CREATED = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
either = pytest.mark.parametrize("format", FORMATS)


def again(cohort, folder, format, **options):
    write_adam(cohort, folder, format=format)
    return read_adam(folder, covariates=cohort.covariates, **options)


def equal(found, cohort):
    """Equal as cohorts are, and in the order and type of every column that both have."""
    assert found == cohort
    for name in ("patients", "scans"):
        own, other = getattr(found, name), getattr(cohort, name)
        pd.testing.assert_frame_equal(own[list(other)], other, check_dtype=len(other) > 0)
        assert set(own) == set(other)


def small(**changes):
    """Three patients with everything that a cohort can have."""
    patients = pd.DataFrame(
        {
            "patient": ["007", "7", "Å 1"],
            "study": ["one", "two", "one"],
            "arm": ["B", "A", "B"],
            "pfs_time": [100, 31.5, 0.1],
            "pfs_event": [1, 0, 1],
            "os_time": [200, 31.5, 250.125],
            "os_event": [1, 0, 0],
            "new_therapy_time": [120.5, None, None],
            "Ki-67": [0.1, 2.0, 1 / 3],
            "site": ["1", "lung", "gut, left"],
        }
    )
    scans = pd.DataFrame(
        {
            "patient": ["007", "007", "007", "7", "7"],
            "time": [-3, 50.25, 150, 5, 20],
            "size": [100, 72.1234567, None, 33.3, 0],
            "new_lesion": [0, 0, 1, 0, 0],
            "response": ["", "PR", "PD", "NE", "CR"],
        }
    )
    options = {"time_unit": "days", "size_unit": "mm", "arms": ["B", "A"], "baseline_window": "6d"}
    options |= {"covariates": ["Ki-67", "site"]} | changes
    return read_cohort(options.pop("patients", patients), options.pop("scans", scans), **options)


@either
def test_a_synthetic_cohort_comes_back_and_says_that_it_is_one(tmp_path, format):
    cohort = simulate_cohort(seed=2)
    found = again(cohort, tmp_path, format)
    equal(found, cohort)
    assert found.synthetic
    assert found.arms == ("control", "177Lu-DOTATATE")
    assert all(path.name.startswith("synthetic_ad") for path in tmp_path.iterdir())


@either
def test_everything_that_a_cohort_can_have_comes_back(tmp_path, format):
    cohort = small()
    assert len(cohort.scans) == 5
    found = again(cohort, tmp_path, format)
    equal(found, cohort)
    assert found.arms == ("B", "A")
    assert [path.stem for path in sorted(tmp_path.iterdir())] == ["adrs", "adsl", "adtr", "adtte"]


@either
@pytest.mark.parametrize("part", ["no scans", "changes", "one endpoint", "nobody scanned"])
def test_less_comes_back_too(tmp_path, format, part):
    cohort = small()
    people = cohort.patients.drop(columns=["pfs_time", "pfs_event"])
    changes = cohort.scans[["patient", "time", "pchg", "new_lesion"]]
    made = {
        "no scans": lambda: small(scans=None, size_unit=None),
        "changes": lambda: small(patients=cohort.patients, scans=changes, size_unit=None, time_unit="months"),
        "one endpoint": lambda: small(patients=people, time_unit="months", scans=None, size_unit=None),
        "nobody scanned": lambda: small(exclude_patients=["7", "007"], arms=["B"]),
    }[part]()
    equal(again(made, tmp_path, format), made)


@either
def test_reasons_and_progression_of_a_cohort_from_adam_come_back(tmp_path, format):
    cohort = read_adam(adam_files.study(), covariates=["age"])
    found = again(cohort, tmp_path, format)
    equal(found, cohort)
    pd.testing.assert_frame_equal(found.reasons, cohort.reasons)


@either
def test_pseudo_patients_stay_marked(tmp_path, format):
    patients = small().patients.assign(reconstructed=["true", "false", "true"])
    cohort = small(patients=patients, scans=None, size_unit=None, time_unit="months")
    assert cohort.reconstructed == ("007", "Å 1")
    found = again(cohort, tmp_path / "some", format)
    assert found.reconstructed == cohort.reconstructed
    assert "2 patients of 3 reconstructed" in " ".join(note.message for note in found.notes)
    every = small(
        patients=patients.assign(reconstructed="true"), scans=None, size_unit=None, time_unit="months"
    )
    assert again(every, tmp_path / "all", format) == every
    assert all(path.name.startswith("reconstructed_") for path in (tmp_path / "all").iterdir())


texts = st.text("aZ0 .-é", min_size=1, max_size=4).map(str.strip).filter(bool)
times = st.one_of(st.integers(0, 900), st.floats(0, 900).map(lambda x: round(x, 3)))


@st.composite
def cohorts(draw):
    """Cohorts as ``read_cohort`` makes them of any small tables that it takes."""
    names = draw(st.lists(texts, min_size=1, max_size=5, unique=True))
    rows, scans = [], []
    sized = draw(st.booleans())
    for name in names:
        row = {"patient": name, "study": draw(texts), "arm": draw(st.sampled_from(["A", "b", "C c"]))}
        row |= {"pfs_time": draw(times), "pfs_event": draw(st.integers(0, 1))}
        row |= {"os_time": row["pfs_time"] + draw(times), "os_event": draw(st.integers(0, 1))}
        row |= {"new_therapy_time": draw(st.none() | st.just(row["pfs_time"]))}
        rows.append(row | {"x": draw(st.floats(-1e6, 1e6)), "y": draw(st.sampled_from(["u", "7", "v w"]))})
        for k, at in enumerate(sorted(draw(st.sets(times, max_size=3)))):
            scan = {"patient": name, "time": at if k else -at}
            scan |= {"new_lesion": draw(st.booleans()), "response": draw(st.sampled_from(["", "SD", "PD"]))}
            value = draw(st.floats(0.1, 300) if sized else st.floats(-100, 90))
            missing = k > 0 and draw(st.booleans())
            value = None if missing else 0.0 if not (sized or k) else value
            scans.append(scan | {"size" if sized else "pchg": value})
    order = draw(st.permutations(sorted({row["arm"] for row in rows})))
    made = draw(st.lists(st.sampled_from(["true", "false"]), min_size=len(rows), max_size=len(rows)))
    try:
        return read_cohort(
            pd.DataFrame(rows).assign(reconstructed=made),
            pd.DataFrame(scans) if scans else None,
            time_unit=draw(st.sampled_from(["days", "weeks"])),
            size_unit="mm" if sized and scans else None,
            covariates=["x", "y"],
            arms=order,
            scans_after_death="drop",
        )
    except CohortError:
        assume(False)
        raise


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(cohort=cohorts(), format=st.sampled_from(list(FORMATS)))
def test_whatever_small_cohort_comes_back(tmp_path_factory, cohort, format):
    equal(again(cohort, tmp_path_factory.mktemp("adam"), format), cohort)


REQUIRED = {
    "datasetJSONCreationDateTime",
    "datasetJSONVersion",
    "itemGroupOID",
    "records",
    "name",
    "label",
    "columns",
}
TYPES = {"string": str, "integer": int, "double": float}


def test_dataset_json_has_what_the_standard_requires(tmp_path):
    for path in write_adam(small(), tmp_path, format="dataset-json", created=CREATED):
        found = json.loads(path.read_text("utf-8"))
        assert set(found) >= REQUIRED
        assert set(found) - REQUIRED == {"sourceSystem", "rows"}
        assert found["datasetJSONCreationDateTime"] == "2026-03-01T12:00:05Z"
        assert re.fullmatch(r"1\.1(\.\d+)?", found["datasetJSONVersion"])
        name = path.stem.upper()
        assert (found["name"], found["itemGroupOID"]) == (name, f"IG.{name}")
        assert found["records"] == len(found["rows"]) > 0
        for k, column in enumerate(found["columns"]):
            assert {"itemOID", "name", "label", "dataType"} <= set(column)
            assert set(column) <= {"itemOID", "name", "label", "dataType", "length", "keySequence"}
            assert column["itemOID"] == f"IT.{name}.{column['name']}"
            values = [row[k] for row in found["rows"] if row[k] is not None]
            assert all(type(value) is TYPES[column["dataType"]] for value in values)
            if column["dataType"] == "string":
                assert column["length"] == max(1, *map(len, values))
        keys = {c["keySequence"]: k for k, c in enumerate(found["columns"]) if "keySequence" in c}
        assert sorted(keys) == list(range(1, len(keys) + 1))
        told = [tuple(row[k] for k in keys.values()) for row in found["rows"]]
        assert len(set(told)) == len(told)


def test_labels_are_there_for_every_variable(tmp_path):
    for path in write_adam(small(), tmp_path, format="dataset-json"):
        for column in json.loads(path.read_text("utf-8"))["columns"]:
            assert column["label"] != column["name"] or column["name"] in ("KI-67", "SITE")


@either
def test_the_same_cohort_gives_the_same_bytes_but_for_the_time_of_creation(tmp_path, format):
    first = write_adam(small(), tmp_path / "a", format=format, created=CREATED)
    same = write_adam(small(), tmp_path / "b", format=format, created=CREATED)
    later = write_adam(small(), tmp_path / "c", format=format, created=CREATED + timedelta(days=1))
    for one, two, three in zip(first, same, later, strict=True):
        assert one.read_bytes() == two.read_bytes()
        apart = [
            (x, y)
            for x, y in zip(one.read_bytes().split(b"\n"), three.read_bytes().split(b"\n"), strict=True)
            if x != y
        ]
        assert len(apart) == (format == "dataset-json")
        assert all(b"datasetJSONCreationDateTime" in x for x, _ in apart)


@either
def test_nothing_is_overwritten(tmp_path, format):
    (tmp_path / "study_ADSL.csv").write_text("mine")
    with pytest.raises(InputError, match=r"has study_ADSL.csv already"):
        write_adam(small(), tmp_path, format=format)
    assert [path.name for path in tmp_path.iterdir()] == ["study_ADSL.csv"]
    write_adam(small(), tmp_path / "new", format=format)
    before = {path: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    with pytest.raises(InputError, match="already, which are left as they are"):
        write_adam(simulate_cohort(seed=1), tmp_path / "new", format=format)
    assert {path: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="format is 'xpt'; expected 'parquet' or 'dataset-json'"):
        write_adam(small(), tmp_path, format="xpt")
    patients = small().patients.assign(SITE="x", trt01p="y", SynthFl="z")
    for names in (["site", "SITE"], ["trt01p"], ["SynthFl"]):
        cohort = small(patients=patients, scans=None, size_unit=None, time_unit="months", covariates=names)
        with pytest.raises(InputError, match=f"rename '{names[-1]}'"):
            write_adam(cohort, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pfs": "PFSINV"}, "pfs is 'PFSINV' where .* written from a cohort; expected 'PFS'. Leave out pfs"),
        ({"time_unit": "weeks"}, "time_unit is 'weeks'"),
        ({"size_unit": "cm"}, "size_unit is 'cm'"),
        ({"covariates": ["age"]}, "no variables age"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(asked, message):
    with pytest.raises(CohortError, match=message):
        read_adam(adam_datasets(small()), **asked)


def test_data_sets_that_were_changed_since_are_read_as_they_are():
    sets = adam_datasets(small())
    assert read_adam(sets, pfs="PFS", time_unit="days", population="ITTFL").arms == ("B", "A")
    fewer = sets | {"adsl": sets["adsl"][sets["adsl"]["USUBJID"] != "7"]}
    assert read_adam(fewer).arms == ("B",)
    assert read_adam(sets, exclude_patients=["7"]).patients["patient"].tolist() == ["007", "Å 1"]
    assert read_adam(sets, arms=["A", "B"]).arms == ("A", "B")
    twice = sets | {"adtte": pd.concat([sets["adtte"]] * 2)}
    with pytest.raises(CohortError, match="3 patients have several rows of PFS"):
        read_adam(twice)
    no_time = sets | {"adtte": sets["adtte"].assign(AVAL=None)}
    with pytest.raises(CohortError, match="missing values of pfs_time"):
        read_adam(no_time)


@pytest.mark.parametrize("flag", ["COHORTFL", "SYNTHFL"])
def test_patients_who_are_nobody_s_data_cannot_hide_among_others(flag):
    sets = adam_datasets(simulate_cohort(seed=1))
    sets["adsl"].loc[:99, flag] = ""
    with pytest.raises(
        CohortError, match=f"131 of 231 patients have {flag} = Y; expected all of them, or none"
    ):
        read_adam(sets)


def test_other_programs_find_adam_in_the_files():
    """Variables and values as an ADaM reader that knows nothing of this package expects them."""
    sets = adam_datasets(small())
    assert sets["adtte"].groupby("PARAMCD")["CNSR"].sum().to_dict() == {"NEWTHER": 2, "OS": 2, "PFS": 1}
    assert sets["adtte"].query("PARAMCD == 'PFS'")["AVAL"].tolist() == [100, 31.5, 0.1]
    adtr = sets["adtr"]
    assert adtr["ADY"].tolist() == [-3, 51, 151, 6, 21]  # no day 0: time zero is day 1
    assert adtr["ABLFL"].tolist() == ["Y", "", "", "Y", ""]
    assert adtr["BASE"].tolist() == [100, 100, 100, 33.3, 33.3]
    assert adtr["PCHG"].round(4).fillna(-1).tolist() == [0, -27.8765, -1, 0, -100]
    assert sets["adrs"]["AVALC"].tolist() == ["PR", "PD", "NE", "CR"]
