"""Scans and events of each patient over time. Rows are patients: drawn on request, and never in a report."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from bayes_net.data.cohort import Cohort
from bayes_net.errors import InputError
from bayes_net.figures import style
from bayes_net.figures.style import GREYS, STYLE, fitted
from bayes_net.numbers import counted
from bayes_net.schema import OS, PFS, Duration, duration
from bayes_net.tables.reading import NEW_THERAPY

MOST_ROWS = 60
"""Patients whose rows can be told apart."""
ROW, HEAD, HEADING = 0.085, 1.75, 2.4
"""Inches: a patient's row, and title, legend and axis together; and how many rows an arm's name takes."""
ABOVE: dict[str, Any] = {
    "xycoords": ("data", "axes fraction"),
    "textcoords": "offset points",
    "rotation": 90,
    "ha": "center",
    "va": "bottom",
    "annotation_clip": False,
    "parse_math": False,
}
"""How the name of a landmark stands above its line."""
SCAN, PROGRESSION, EITHER = "scan", "progression", "progression or death"
DEATH, FOLLOWED, THERAPY = "death", "still followed", "new anticancer therapy"
MARKS = {
    SCAN: {"marker": "|", "color": "black", "markersize": 3.5, "markeredgewidth": 0.7},
    PROGRESSION: {"marker": "^", "color": "black", "markersize": 4.5},
    EITHER: {"marker": "^", "color": "black", "markersize": 4.5},
    DEATH: {"marker": "x", "color": "black", "markersize": 4.5, "markeredgewidth": 1.2},
    FOLLOWED: {"marker": ">", "color": GREYS[0], "markersize": 4},
    THERAPY: {"marker": "D", "color": "black", "markerfacecolor": "white", "markersize": 3.5},
}
"""How each kind of mark is drawn, in the order of the legend."""


@rc_context(STYLE)
def timeline(
    cohort: Cohort,
    *,
    landmarks: Sequence[str | Duration] = (),
    sample: int | None = None,
    seed: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A row for each patient from randomisation to the end of follow-up, with scans and events; arms apart,
    the longest follow-up first.

    Bars have the arm's colour until PFS ended and are grey after it. ``landmarks``, such as
    ``["150d", "36w"]``, are dotted lines. More than 60 patients cannot be told apart: ``sample`` draws so
    many by lot with ``seed``, and the title says so. Rows have no names, but each is a patient: the figure is
    drawn only on request, and no report has it.

    Raises
    ------
    InputError
        The cohort has more patients than can be told apart and there is no ``sample``; the sample is larger
        than that or than the cohort, or has no seed; or a landmark is no duration.
    """
    people = _drawn(cohort.patients, sample, seed)
    marks, ends = _marks(cohort, people), _ends(people)
    rows, arms = _rows(ends, people["arm"], cohort.arms)
    lines = {str(duration(landmark)): duration(landmark).months for landmark in landmarks}
    if ax is None:
        height = HEAD + ROW * (len(rows) + HEADING * len(arms))
        ax = Canvas(figsize=(style.WIDTH, height), layout="constrained").add_subplot()
    colours = style.arm_colours(people["arm"], cohort.arms)
    for row in ends.itertuples():
        bar = {"linewidth": 3, "solid_capstyle": "butt", "zorder": 1}
        y, colour = [rows[row.Index]] * 2, colours[people["arm"][row.Index]]
        ax.plot([0, row.free], y, color=colour, alpha=0.5, gid="free", **bar)
        if row.end > row.free:
            ax.plot([row.free, row.end], y, color=GREYS[3], gid="after", **bar)
    for kind, own in marks.groupby("kind", sort=False):
        heights = own["row"].map(rows)
        ax.plot(own["time"], heights, linestyle="none", gid=kind, zorder=3, clip_on=False, **MARKS[kind])
    for arm, y in arms.items():
        place = {"transform": ax.get_yaxis_transform(), "color": colours[arm], "parse_math": False}
        place |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5}, "zorder": 4}
        ax.text(0, y, fitted(arm), va="center", weight="bold", **place)
    last = max([float(ends["end"].max()), *lines.values()])
    for name, months in lines.items():
        ax.axvline(months, color="black", linewidth=0.8, linestyle=style.LINES[2], gid="landmark")
        ax.annotate(name, (months, 1), (0, 3), **ABOVE)
    ax.set(xlim=(0, 1.02 * last), xticks=style.month_ticks(last), yticks=[])
    ax.set(xlabel="Months from randomisation", ylim=(max(rows.values()) + 1, -1))
    ax.spines["left"].set_visible(False)
    kinds = [kind for kind in MARKS if (marks["kind"] == kind).any()]
    handles = [Line2D([], [], linestyle="none", **MARKS[kind]) for kind in kinds]
    if (ends["end"] > ends["free"]).any():
        handles, kinds = [*handles, Line2D([], [], color=GREYS[3], linewidth=3)], [*kinds, "after PFS ended"]
    ax.figure.legend(handles, kinds, loc="outside lower left", ncols=2)
    ax.set_title(_title(cohort, people, marks, seed), loc="left", pad=40 if lines else 6, parse_math=False)
    return ax


def _drawn(patients: pd.DataFrame, sample: int | None, seed: int | None) -> pd.DataFrame:
    """The patients to be drawn: all of them, or so many by lot."""
    n = len(patients)
    if sample is None:
        if n > MOST_ROWS:
            raise InputError(
                f"{counted(n, 'patient')} cannot be told apart in one figure; expected at most {MOST_ROWS}. "
                f"Give sample={MOST_ROWS} and a seed to draw so many by lot, or a smaller cohort"
            )
        return patients.reset_index(drop=True)
    if not 1 <= sample <= min(n, MOST_ROWS):
        raise InputError(f"sample is {sample}; expected 1 to {min(n, MOST_ROWS)} of {counted(n, 'patient')}")
    if seed is None:
        raise InputError(
            "a sample is drawn by lot; give its seed, for example seed=1, so that it is repeatable"
        )
    chosen = np.random.default_rng(seed).choice(n, sample, replace=False)
    return patients.iloc[np.sort(chosen)].reset_index(drop=True)


def _ends(people: pd.DataFrame) -> pd.DataFrame:
    """Of each patient the months until PFS ended (``free``) and all follow-up (``end``)."""
    known = people.reindex(columns=["pfs_time", "os_time"]).astype(float)
    end = known.max(axis=1)
    return pd.DataFrame({"free": known["pfs_time"].fillna(end), "end": end})


def _rows(
    ends: pd.DataFrame, arm: pd.Series, arms: Sequence[str]
) -> tuple[dict[int, float], dict[str, float]]:
    """The height of each patient, and of each arm's name above its patients."""
    rows: dict[int, float] = {}
    names, y = {}, 0.0
    for name in arms:
        own = ends[arm == name].sort_values(["end", "free"], ascending=False, kind="stable").index
        if len(own):
            names[name] = y + HEADING / 2 - 0.5
            rows |= {row: y + HEADING + place for place, row in enumerate(own)}
            y += HEADING + len(own)
    return rows, names


def _marks(cohort: Cohort, people: pd.DataFrame) -> pd.DataFrame:
    """Every mark: the ``row`` of its patient, its ``time`` and its ``kind``."""
    place = pd.Index(people["patient"]).get_indexer(cohort.scans["patient"])
    scans = pd.DataFrame({"row": place, "time": cohort.scans["time"].astype(float), "kind": SCAN})
    parts = [scans[place >= 0]]
    died = people[f"{OS}_event"] == 1 if OS in cohort.endpoints else pd.Series(False, people.index)
    if PFS in cohort.endpoints:
        with_death = died & (people[f"{OS}_time"] <= people["pfs_time"]) if OS in cohort.endpoints else died
        kind = PROGRESSION if OS in cohort.endpoints else EITHER
        parts.append(_at(people["pfs_time"][(people["pfs_event"] == 1) & ~with_death], kind))
    if OS in cohort.endpoints:
        parts += [_at(people["os_time"][died], DEATH), _at(people["os_time"][~died], FOLLOWED)]
    else:
        parts.append(_at(people["pfs_time"][people["pfs_event"] == 0], FOLLOWED))
    if NEW_THERAPY in people:
        parts.append(_at(people[NEW_THERAPY].dropna(), THERAPY))
    return pd.concat(parts, ignore_index=True)


def _at(times: pd.Series, kind: str) -> pd.DataFrame:
    return pd.DataFrame({"row": times.index, "time": times.to_numpy(float), "kind": kind})


def _title(cohort: Cohort, people: pd.DataFrame, marks: pd.DataFrame, seed: int | None) -> str:
    """Whose rows these are, and how many marks of each kind."""
    all_of = len(cohort.patients)
    who = counted(len(people), "patient")
    if len(people) < all_of:
        who = f"{len(people)} of {counted(all_of, 'patient')}, by lot (seed {seed})"
    nobody = "RECONSTRUCTED, all or some: " if cohort.reconstructed else ""
    nobody = "SYNTHETIC: " if cohort.synthetic else nobody
    counts = marks["kind"].value_counts()
    known = {kind: int(counts[kind]) for kind in MARKS if kind in counts}
    found = [
        f"{n} {kind}" if kind in (FOLLOWED, THERAPY, EITHER) else counted(n, kind)
        for kind, n in known.items()
    ]
    return f"{nobody}{who}\n" + "\n".join(wrap(", ".join(found), 48))
