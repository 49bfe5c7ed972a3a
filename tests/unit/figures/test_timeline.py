"""The timeline: a row for each patient, every scan and event at its time, and nobody named."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from bayes_net import simulate_cohort
from bayes_net.data.cohort import Cohort, read_cohort
from bayes_net.errors import InputError
from bayes_net.figures import style
from bayes_net.figures.plots import timeline
from bayes_net.figures.timeline import MOST_ROWS

PATIENTS = pd.DataFrame(
    {
        "patient": ["secret-1", "secret-2", "secret-3", "secret-4"],
        "arm": ["a", "a", "b", "b"],
        "pfs_time": [6.0, 9.0, 4.0, 12.0],
        "pfs_event": [1, 1, 0, 0],
        "os_time": [10.0, 9.0, 14.0, 12.0],
        "os_event": [1, 1, 0, 0],
    }
)
SCANS = pd.DataFrame(
    {
        "patient": ["secret-1"] * 3 + ["secret-4"] * 2,
        "time": [0.0, 2.0, 6.0, 0.0, 3.0],
        "pchg": [0, -9, 30, 0, -40],
    }
)


def cohort(patients=PATIENTS) -> Cohort:
    return read_cohort(patients, SCANS, time_unit="months", accept=["no-post-baseline-scan"])


def marks(ax: Axes, kind: str) -> list[tuple[float, float]]:
    """Time and row of every mark of a kind."""
    return [(float(x), float(y)) for line in ax.lines if line.get_gid() == kind for x, y in line.get_xydata()]


def bars(ax: Axes, kind: str) -> dict[float, tuple[float, float]]:
    return {
        float(line.get_ydata()[0]): tuple(line.get_xdata()) for line in ax.lines if line.get_gid() == kind
    }


def test_each_patient_has_a_row_with_its_scans_and_events():
    ax = timeline(cohort(), landmarks=["60d"])
    free, after = bars(ax, "free"), bars(ax, "after")
    assert sorted(free.values()) == [(0, 4), (0, 6), (0, 9), (0, 12)]
    assert sorted(after.values()) == [(4, 14), (6, 10)]
    row = {end: y for y, (_, end) in free.items()}
    assert row[6] < row[9] < row[4] < row[12]  # arms apart, the longest follow-up of each first
    assert marks(ax, "progression") == [(6, row[6])]
    assert sorted(marks(ax, "death")) == [(9, row[9]), (10, row[6])]
    assert sorted(marks(ax, "still followed")) == [(12, row[12]), (14, row[4])]
    assert sorted(marks(ax, "scan")) == sorted(
        [(t, row[6]) for t in (0, 2, 6)] + [(t, row[12]) for t in (0, 3)]
    )
    (line,) = [line for line in ax.lines if line.get_gid() == "landmark"]
    assert line.get_xdata()[0] == pytest.approx(60 / 30.4375)
    assert "60 d" in [text.get_text() for text in ax.texts]


def test_nobody_is_named_and_counts_are_told():
    ax = timeline(cohort())
    assert "secret" not in style.svg(ax)
    title = ax.get_title(loc="left").replace("\n", " ")
    assert title == "4 patients 5 scans, 1 progression, 2 deaths, 2 still followed"


def test_where_deaths_are_not_known_the_end_of_pfs_is_not_called_a_progression():
    ax = timeline(cohort(PATIENTS.drop(columns=["os_time", "os_event"])))
    assert [x for x, _ in marks(ax, "progression or death")] == [6, 9]
    assert [x for x, _ in marks(ax, "still followed")] == [4, 12]
    assert not marks(ax, "progression")
    assert not bars(ax, "after")


def test_a_new_therapy_is_marked():
    ax = timeline(cohort(PATIENTS.assign(new_therapy_time=[7.0, np.nan, np.nan, np.nan])))
    assert [x for x, _ in marks(ax, "new anticancer therapy")] == [7]


def test_too_many_patients_are_refused_or_drawn_by_lot_and_said():
    many = simulate_cohort(seed=1)
    n = len(many.patients)
    with pytest.raises(InputError, match=rf"{n} patients cannot be told apart.*sample={MOST_ROWS}"):
        timeline(many)
    with pytest.raises(InputError, match="give its seed"):
        timeline(many, sample=20)
    for wrong in (0, MOST_ROWS + 1):
        with pytest.raises(InputError, match=f"sample is {wrong}; expected 1 to {MOST_ROWS}"):
            timeline(many, sample=wrong, seed=1)
    ax = timeline(many, sample=20, seed=1)
    assert len(bars(ax, "free")) == 20
    assert ax.get_title(loc="left").startswith(f"SYNTHETIC: 20 of {n} patients, by lot (seed 1)\n")
    shown = [y for _, y in marks(ax, "scan") if np.isfinite(y)]
    assert f"\n{len(shown)} scans, " in ax.get_title(loc="left")
    assert style.svg(timeline(many, sample=20, seed=1)) == style.svg(ax)
    assert bars(timeline(many, sample=20, seed=2), "free") != bars(ax, "free")


def test_reconstructed_patients_are_called_so():
    some = replace(cohort(), reconstructed=("secret-1",))
    assert timeline(some).get_title(loc="left").startswith("RECONSTRUCTED, all or some: 4 patients")
