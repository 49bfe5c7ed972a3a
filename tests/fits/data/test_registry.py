"""Registries: every source gives the same sums, whatever the pieces, and what cannot be used is refused."""

import numpy as np
import pandas as pd
import pytest

from bayes_net.data import registry
from bayes_net.data.aggregated import aggregate
from bayes_net.data.exposure import expose
from bayes_net.data.landmarks import landmark
from bayes_net.data.registry import expose_registry
from bayes_net.data.terms import Covariate, Response
from bayes_net.errors import InputError
from bayes_net.simulate.cohort import simulate_cohort

ARMS, CUTS = ("control", "177Lu"), (2.0, 5.0, 9.0)
GRADE = Covariate("grade", levels=("I", "II", "III"))


def table(n=3_000, *, seed=1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "arm": rng.choice(ARMS, n),
            "time": np.ceil(rng.exponential(14, n)) / 2,
            "event": (rng.random(n) < 0.7).astype(int),
            "shrinkage": rng.normal(15, 20, n).clip(-20, 100),
            "grade": rng.choice(GRADE.levels, n),
            "age": rng.choice([50, 60, 70], n),
        }
    )


def same(one, other) -> None:
    assert (one.n, one.arms, one.covariate_names) == (other.n, other.arms, other.covariate_names)
    np.testing.assert_array_equal(one.patterns, other.patterns)
    for name in ("n_by_arm", "events", "last_follow_up"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("person_time", "score_events", "covariate_events", "exact"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-11, atol=1e-10)
    moments = [(each.weight * each.score).sum(-1) for each in (one, other)]
    np.testing.assert_allclose(*moments, rtol=1e-9, atol=1e-9)


def read(source, **kwargs):
    return expose_registry(source, **{"arms": ARMS, "cuts": CUTS} | kwargs)


def test_the_sums_are_those_of_the_patients_exposure():
    """By hand: the table's own columns as an Exposure."""
    frame = table()
    found = read(frame, covariates=[GRADE, Covariate("age", reference=60, scale=10)])
    assert found.covariate_names == ("grade: II", "grade: III", "age")
    assert len(found.patterns) == 18
    assert found.n == len(frame)
    for a, arm in enumerate(ARMS):
        own = frame[frame["arm"] == arm]
        assert found.n_by_arm[a] == len(own)
        assert found.events[a].sum() == own["event"].sum()
        assert found.person_time[a].sum() == pytest.approx(own["time"].sum(), rel=1e-12)
        score = (own["event"] * own["shrinkage"]).sum() / 10
        assert found.score_events[a] == pytest.approx(score, rel=1e-12)
    hit = frame[frame["event"] == 1]
    expected = [(hit["grade"] == "II").sum(), (hit["grade"] == "III").sum(), ((hit["age"] - 60) / 10).sum()]
    np.testing.assert_allclose(found.covariate_events, expected, rtol=1e-12)
    assert found.error < 1e-9


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_pieces_change_nothing(size, monkeypatch):
    frame = table(60 if size == 1 else 3_000)
    whole = read(frame, covariates=[GRADE])
    monkeypatch.setattr(registry, "PIECE", size)
    same(read(frame, covariates=[GRADE]), whole)


def test_parquet_files_and_folders_are_read_in_pieces(tmp_path, monkeypatch):
    frame = table()
    whole = read(frame)
    (tmp_path / "many").mkdir()
    frame.to_parquet(tmp_path / "one.parquet", row_group_size=500)
    for i, own in enumerate(np.array_split(np.arange(len(frame)), 4)):
        frame.iloc[own].to_parquet(tmp_path / "many" / f"part_{i}.parquet")
    sizes = []
    aggregate_piece = aggregate

    def watched(data):
        sizes.append(data.n)
        return aggregate_piece(data)

    monkeypatch.setattr(registry, "aggregate", watched)
    monkeypatch.setattr(registry, "PIECE", 700)
    for source in (tmp_path / "one.parquet", str(tmp_path / "many")):
        same(read(source), whole)
    assert max(sizes) < 1_400  # never more than a piece and what its last row group brings


def test_a_dask_dataframe_is_reduced_partition_by_partition():
    dd = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    frame = table()
    same(read(dd.from_pandas(frame, npartitions=5), covariates=[GRADE]), read(frame, covariates=[GRADE]))
    with pytest.raises(InputError, match="no column treatment"):
        read(dd.from_pandas(frame, npartitions=2), columns={"arm": "treatment"})
    frame.loc[2_500, "event"] = 3
    with pytest.raises(InputError, match="'event' cannot be used in 1 rows"):
        read(dd.from_pandas(frame, npartitions=5))


def test_landmark_sets_are_pieces_too():
    landmarks = landmark(simulate_cohort(seed=1), ["150d", "no limit"])
    for label in ("150 d", "no limit"):
        exposure = aggregate(expose(landmarks, label, cuts=CUTS))
        for source in (landmarks, [landmarks], (each for each in [landmarks])):
            same(expose_registry(source, arms=landmarks.arms, cuts=CUTS, landmark=label), exposure)


def test_units_names_levels_and_responses_are_as_in_other_tables():
    frame = table()
    days = frame.assign(time=frame["time"] * 30.4375).rename(columns={"arm": "TRT", "shrinkage": "best"})
    renamed = {"arm": "TRT", "shrinkage": "best"}
    same(read(days, time_unit="days", columns=renamed), read(frame))
    same(read(frame.astype({"arm": "category", "event": bool})), read(frame))
    without = frame.assign(shrinkage=frame["shrinkage"].where(frame["shrinkage"] > 0))
    found = read(without, measure=Response(30))
    hit = frame[(frame["event"] == 1) & (frame["shrinkage"] >= 30)]
    assert found.score_events.sum() == len(hit)
    assert set(found.score[found.weight > 0]) == {0.0, 1.0}
    assert found.error < 1e-13


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("arm", "placebo", "'arm' cannot be used in 1 rows.*: 12; expected one of control, 177Lu"),
        ("arm", None, "'arm' cannot be used"),
        ("time", -1.0, "'time' cannot be used in 1 rows.*: 12; expected 0 or more"),
        ("time", np.inf, "'time' cannot be used"),
        ("event", 2, "expected 0 .censored. or 1 .event."),
        ("event", None, "'event' cannot be used"),
        ("shrinkage", 100.5, "'shrinkage' cannot be used in 1 rows"),
        ("shrinkage", None, "'shrinkage' cannot be used"),
        ("age", None, "'covariates' cannot be used in 1 rows"),
        ("grade", "IV", "levels IV that are not declared"),
    ],
)
def test_values_that_cannot_be_used_are_refused_with_their_rows(column, value, said, monkeypatch):
    monkeypatch.setattr(registry, "PIECE", 5)
    frame = table(20).astype({"event": object, "age": object})
    frame.loc[11, column] = value
    with pytest.raises(InputError, match=said):
        read(frame, covariates=[GRADE, Covariate("age")])


def test_sources_that_cannot_be_used_are_refused(tmp_path):
    frame = table(50)
    for source, said in [
        (3, "got a int; expected a DataFrame"),
        (["a.csv"], "a piece is a str"),
        (tmp_path / "none.parquet", "there is no"),
        (frame.drop(columns="time"), "no column time; it has arm, event, shrinkage"),
        (frame.assign(event=0), "has no event"),
        (frame.iloc[:0], "has no event"),
        ([], "has no event"),
    ]:
        with pytest.raises(InputError, match=said):
            read(source)
    (tmp_path / "text.parquet").write_text("arm,time\n")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read(tmp_path / "text.parquet")
    with pytest.raises(InputError, match="no event at landmark '36w'"):
        read(frame.assign(landmark="150d"), landmark="36w")
    with pytest.raises(InputError, match="no column landmark"):
        read(frame, landmark="36w")
    with pytest.raises(InputError, match="cut-points"):
        read(frame, cuts=(5.0, 2.0))
    with pytest.raises(InputError, match="more than 500 different patterns"):
        read(table(2_000).assign(age=np.arange(2_000)), covariates=[Covariate("age")])
