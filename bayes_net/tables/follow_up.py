"""Times and events that are possible, but hardly meant: in wrong units, exchanged, or at odds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd

from bayes_net.errors import listed, problem
from bayes_net.numbers import counted, percent, significant
from bayes_net.schema import DAYS_PER_MONTH, PFS, words
from bayes_net.tables.doubts import FEWEST, MONTHS_PER, Found, Tables, warn

LONG_YEARS, LIFE_YEARS = 30.0, 110.0
"""Follow-up from which the unit is doubted, and from which it cannot be right."""
SHORT_MONTHS = 2.0
"""A study whose longest follow-up is shorter is doubted."""
EXCEL_DAYS = (25_000.0, 60_000.0)
"""Excel's numbers of the days from 1968 to 2064."""


def _follow_up(tables: Tables) -> Found:
    frame = tables.people.frame
    columns = [f"{name}_time" for name in tables.endpoints]
    longest = frame[columns].max(axis=1)
    most = longest.max()
    if not most > 0:
        return
    years, unit = significant(most / 12, 3), tables.time_unit
    in_other = {
        other: most / 12 * MONTHS_PER[other] / MONTHS_PER[unit] for other in MONTHS_PER if other != unit
    }
    likely = [
        f"time_unit = {other!r} would make it {significant(x, 2)} years"
        for other, x in in_other.items()
        if 0.5 <= x <= 15
    ]
    hint = f"; {listed(likely)}" if likely else ""
    if most > 12 * LIFE_YEARS:
        wrong = longest > 12 * LIFE_YEARS
        days = longest[wrong] / MONTHS_PER[unit]
        if days.between(*EXCEL_DAYS).all():
            meant = date(1899, 12, 30) + timedelta(days=float(days.max()))
            hint = f"; Excel writes dates as such numbers: {days.max():g} is {meant}"
        got = f"follow-up of more than {LIFE_YEARS:g} years (up to {years} years{hint})"
        todo = "Give times from time zero in the unit that time_unit says."
        yield problem(tables.people.name, got, f"times in {unit}", todo, tables.people.rows(wrong))
    elif most > 12 * LONG_YEARS:
        wrong = longest > 12 * LONG_YEARS
        message = (
            f"follow-up of {counted(int(wrong.sum()), 'patient')} is longer than {LONG_YEARS:g} years (up to "
            f"{years}): is time_unit = {unit!r} right?{hint.replace(';', '', 1)}"
        )
        yield from warn("long-follow-up", tables.people, wrong, message)
    elif most < SHORT_MONTHS and len(frame) >= FEWEST:
        days = significant(most * DAYS_PER_MONTH, 2)
        message = f"nobody is followed for more than {days} days: is time_unit = {unit!r} right?"
        message += hint.replace(";", "", 1)
        yield from warn("short-follow-up", tables.people, longest > 0, message)


def _scan_unit(tables: Tables) -> Found:
    """Last scans at a share of follow-up that is small, or above 1, and much the same in every patient."""
    scans = tables.visits.frame
    after = scans[scans["time"] > 0].groupby("patient", observed=True)["time"].agg(["max", "size"])
    follow_up = tables.people.frame.drop_duplicates("patient").set_index("patient")[
        f"{tables.endpoints[0]}_time"
    ]
    share = (after["max"] / follow_up.reindex(after.index))[after["size"] >= 2].dropna()
    share = share[np.isfinite(share) & (share > 0)]
    if len(share) < FEWEST:
        return
    low, middle, high = share.quantile([0.1, 0.5, 0.9])
    if high / low > 2.5 or 1 / 2.5 < middle < 2.5:
        return
    pairs = {
        f"{slow} beside {quick}": MONTHS_PER[slow] / MONTHS_PER[quick]
        for slow in MONTHS_PER
        for quick in MONTHS_PER
        if MONTHS_PER[slow] > MONTHS_PER[quick]
    }
    factor = 1 / middle if middle < 1 else middle
    # scans end somewhat before follow-up does, so the factor is a little above that of the units, or below
    which = min(pairs, key=lambda name: abs(np.log(factor / pairs[name])))
    message = (
        f"scans end at {significant(middle, 2)} of PFS follow-up in the middle patient, and at "
        f"{significant(low, 2)} to {significant(high, 2)} in most: by about a factor "
        f"{significant(pairs[which], 3)}, as if times of scans and of PFS were in two units ({which}); later "
        "scans would be taken for early ones, or the reverse"
    )
    yield from warn("scan-time-unit", tables.visits, scans["patient"].isin(share.index), message)


def _inverted(tables: Tables) -> Found:
    """Events that are censorings: by the name of the column, or because they come last."""
    for endpoint in tables.endpoints:
        column = f"{endpoint}_event"
        name = tables.columns.get(column, column)
        declared = endpoint in tables.how.event_is
        named = name.lower().startswith(("cnsr", "cens")) and not declared
        # cens = 1 is an event in some published data, and CNSR = 1 never
        sure = name.lower().startswith("cnsr") or _events_later(*tables.events(endpoint)) > 0.5
        why = f"its column is {name}, and CNSR = 0 is an event" if named and sure else ""
        why = "; ".join(filter(None, [why, _pattern(tables, endpoint)]))
        if why:
            message = (
                f"events and censorings of {words(endpoint)} seem to be exchanged ({why}): if 0 is an event, "
                f"say event_is = {{{endpoint} = 0}}"
            )
            yield from warn("events-exchanged", tables.people, tables.people.frame[column] == 1, message)


def _events_later(time: pd.Series, event: pd.Series) -> float:
    """Share of the pairs of an event and a censoring in which the event is later; 0 without a pair."""
    n, others = int((event == 1).sum()), int((event == 0).sum())
    return float((time.rank()[event == 1].mean() - (n + 1) / 2) / others) if n and others else 0.0


def _pattern(tables: Tables, endpoint: str) -> str:
    """Why the events of an endpoint look like censorings."""
    time, event = tables.events(endpoint)
    events, censored = time[event == 1], time[event == 0]
    if len(events) >= FEWEST and len(censored) >= FEWEST:
        at_end = (events >= 0.98 * time.max()).mean()
        if at_end > 0.8:
            return f"{percent(at_end)} of events are at the end of all follow-up"
        above = _events_later(time, event)
        if above > 0.95 and min(len(events), len(censored)) >= 2 * FEWEST:
            return f"{percent(above)} of pairs have the event after the censoring"
    if endpoint == PFS and len(tables.endpoints) > 1:
        frame = tables.people.frame
        alive = frame[(frame["os_event"] == 0) & (frame["pfs_time"] == frame["os_time"])]["pfs_event"]
        before = frame[frame["pfs_time"] < frame["os_time"]]["pfs_event"]
        if min(len(alive), len(before)) >= 3 and alive.mean() > 0.8 and before.mean() < 0.2:
            return (
                f"{percent(alive.mean())} of patients alive and followed to the end have an event then, and "
                f"{percent(before.mean())} of those whose PFS ended before OS did"
            )
    return ""


def _censored_at_death(tables: Tables) -> Found:
    if len(tables.endpoints) > 1 and tables.how.pfs_censored_at_death == "warn":
        at = censored_at_death(tables.people.frame)
        message = (
            f"PFS of {counted(int(at.sum()), 'patient')} is censored on the day of death, and death ends "
            'PFS: say pfs_censored_at_death = "event" to count it, or "censored" if that is meant'
        )
        yield from warn("pfs-censored-at-death", tables.people, at, message)


def _pfs_after_os(tables: Tables) -> Found:
    if len(tables.endpoints) > 1 and tables.how.pfs_after_os == "keep":
        frame = tables.people.frame
        later = frame["pfs_time"] > frame["os_time"]
        message = f"PFS of {counted(int(later.sum()), 'patient')} ends later than OS, kept as it is"
        yield from warn("pfs-later-than-os", tables.people, later, message)


def censored_at_death(patients: pd.DataFrame) -> pd.Series:
    """Whose PFS is censored on the day of death."""
    died = (patients["os_event"] == 1) & (patients["pfs_time"] == patients["os_time"])
    return died & (patients["pfs_event"] == 0)


def _same_endpoints(tables: Tables) -> Found:
    if len(tables.endpoints) > 1 and len(tables.people.frame) >= 2 * FEWEST:
        frame = tables.people.frame
        same = (frame["pfs_time"] == frame["os_time"]) & (frame["pfs_event"] == frame["os_event"])
        if same.all():
            message = "PFS and OS are the same in every patient: were their columns confused?"
            yield from warn("pfs-is-os", tables.people, same, message)


CHECKS: tuple[Callable[[Tables], Found], ...] = (
    _follow_up,
    _scan_unit,
    _inverted,
    _censored_at_death,
    _pfs_after_os,
    _same_endpoints,
)
