"""Whatever an option of a reader is, it is used or refused in words, before any file is read."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_net as bn
from bayes_net.adam.read import read_adam
from bayes_net.data.cohort import read_cohort
from bayes_net.errors import CohortError, InputError
from bayes_net.evidence.table import read_evidence
from bayes_net.files.curves import reconstruct
from bayes_net.options import Scalar, Values, _hints, refuse_types
from bayes_net.results.folder import read_result

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3),
    st.sampled_from([object(), date(2026, 3, 1), np.array(1), np.arange(4).reshape(2, 2), pd.NA, int, len]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers())), max_size=2),
    st.dictionaries(st.integers() | st.text(max_size=3), st.none() | st.text(max_size=3), max_size=2),
)  # fmt: skip
CALLS = {
    read_cohort: lambda **options: read_cohort("none.csv", "none.csv", **{"time_unit": "days"} | options),
    read_adam: lambda **options: read_adam(**{"source": "none/*.xpt"} | options),
    read_evidence: lambda **options: read_evidence("none.csv", **options),
    read_result: lambda **options: read_result(**{"path": "none"} | options),
}
NO_OPTIONS = ("patients", "scans", "paths", "conventions")
OPTIONS = [(reader, name) for reader in CALLS for name in _hints(reader) if name not in NO_OPTIONS]
OPTIONS += [
    (read_adam, name) for name in _hints(read_cohort) if name not in (*NO_OPTIONS, *_hints(read_adam))
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(OPTIONS), ODD)
def test_any_value_of_any_option_ends_in_one_clear_error(option, value):
    """No file is there, so that what is not refused finds none."""
    reader, name = option
    if (reader, name) == (read_adam, "pfs_after_os"):
        return
    with pytest.raises(InputError):
        CALLS[reader](**{name: value})


@settings(max_examples=100, deadline=None)
@given(ODD, ODD, ODD)
def test_a_curve_of_anything_is_refused(points, at_risk, events):
    with pytest.raises(InputError):
        reconstruct(points, at_risk, events=events)


WRONG = {
    "time_unit": [1], "covariates": 3, "arms": 7, "exclude_patients": True, "patient_columns": "x",
    "scan_columns": {"patient": 1}, "missing_codes": 1.5, "event_is": [[1]], "accept": 1, "study": 5,
    "scan_visits": {"week8": "56"}, "baseline_window": 3, "synthetic": "yes", "size_unit": 1.5,
    "scans_after_death": None, "change_unit": ["percent"], "pfs_censored_at_death": 1, "pfs_after_os": True,
    "missing_covariates": 2,
}  # fmt: skip


def test_every_wrong_option_is_named_with_what_was_expected_and_no_file_is_read(monkeypatch):
    monkeypatch.setattr("bayes_net.tables.reading.read_file", pytest.fail)
    with pytest.raises(InputError) as refused:
        CALLS[read_cohort](**WRONG)
    assert set(WRONG) == set(_hints(read_cohort)) - {"patients", "scans"}
    message = str(refused.value)
    for name in WRONG:
        assert f"{name} is " in message
    assert "arms is int 7; expected a list or None, such as arms = [" in message
    assert "time_unit is list [1]; expected a text, such as time_unit = " in message


def test_a_text_in_the_place_of_a_list_is_no_list_of_letters():
    with pytest.raises(InputError, match=r"covariates is the text 'age'; expected a list"):
        CALLS[read_cohort](covariates="age")


def test_what_read_adam_passes_on_is_refused_before_it_looks_for_files():
    with pytest.raises(InputError, match=r"arms is int 7.*\. missing_codes is float 1\.5"):
        read_adam("nowhere", arms=7, missing_codes=1.5)
    table = pd.DataFrame({"USUBJID": ["1"], "PARAMCD": ["PFS"]})
    with pytest.raises(CohortError, match="where is about adxx; expected some of adsl, adtte"):
        read_adam({"adsl": table, "adtte": table}, where={"adxx": {"A": "B"}})


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (np.float64(1), float, True), (np.int64(1), float, True), (True, float, False), (True, bool, True),
        (np.bool_(True), bool, True), (1.0, int, False), (np.array(["a"]), Sequence[str], True),
        (pd.Series(["a"]), Sequence[str], True), ({"a"}, Sequence[str], True),
        (iter("a"), Iterable[str], True),
        ("ab", Sequence[str], False), ({"a": 1}, Mapping[str, float], True), ([1, "x"], Values, True),
        ({"a": [1, "x"], "b": True}, Mapping[str, Values], True), (None, Scalar, False),
        ((("a", "b"), 1), tuple[tuple[str, str], float], True), (("a",), tuple[str, str], False),
    ],
)  # fmt: skip
def test_types_are_what_people_have(value, hint, fits):
    def reader(option):
        return option

    reader.__annotations__ = {"option": hint}
    if fits:
        refuse_types(reader, {"option": value})
    else:
        with pytest.raises(InputError, match="option is "):
            refuse_types(reader, {"option": value})


def test_every_public_reader_is_here():
    assert {getattr(bn, name) for name in dir(bn) if name.startswith("read_")} - {
        bn.read_specification
    } == set(CALLS)
