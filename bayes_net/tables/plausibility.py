"""What is possible, but hardly meant: wrong units, inverted events, codes for nothing, labels that differ
by a slip.

A check that can be certain gives a problem; one that cannot gives a warning ``Note``, which counts and
names rows, and which a specification can declare to be meant (``accept``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from bayes_net.errors import listed, problem
from bayes_net.numbers import counted, percent, significant
from bayes_net.schema import DAYS_PER_MONTH, ENDPOINTS, PFS, TIME_UNITS, months_per, words
from bayes_net.tables.conventions import Conventions
from bayes_net.tables.notes import WARNING, Note
from bayes_net.tables.reading import SIZE_UNITS, Table, each_value, strange_characters

LONG_YEARS, LIFE_YEARS = 30.0, 110.0
"""Follow-up from which the unit is doubted, and from which it cannot be right."""
SHORT_MONTHS = 2.0
"""A study whose longest follow-up is shorter is doubted."""
SENTINELS = tuple(sign * float(digit * n) for digit in "987" for n in range(1, 6) for sign in (1, -1))
"""Numbers that tables have for nothing: 9, 99, 999 … and their like."""
MONTHS_PER = {unit: months_per(unit) for unit in TIME_UNITS}
EXCEL_DAYS = (25_000.0, 60_000.0)
"""Excel's numbers of the days from 1968 to 2064."""
FRACTION_BELOW = 1.5
"""Changes that are all smaller are fractions: not one tumour changed by 2 %."""
FEWEST = 5
"""Values from which a pattern is one."""
Found = Iterator[Note | str]


@dataclass(frozen=True)
class Tables:
    """Patients and scans as typed (times in months), and what was said of them."""

    people: Table
    visits: Table
    time_unit: str
    arms: Sequence[str] | None
    covariates: Sequence[str]
    how: Conventions
    size_unit: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def times(self, name: str) -> pd.Series:
        """Times of the patients as the file has them, in its unit."""
        return (self.people.frame[name] / MONTHS_PER[self.time_unit]).round(6)

    def events(self, endpoint: str) -> tuple[pd.Series, pd.Series]:
        """Months and 0/1 of the patients whose both are known."""
        known = self.people.frame[[f"{endpoint}_time", f"{endpoint}_event"]].dropna()
        return known.iloc[:, 0], known.iloc[:, 1]

    @property
    def endpoints(self) -> list[str]:
        """Those that the patients have."""
        return [name for name in ENDPOINTS if f"{name}_time" in self.people.frame]


def implausible(tables: Tables) -> tuple[tuple[Note, ...], list[str]]:
    """Everything that is hardly meant: warnings, and what cannot be right."""
    found = [each for check in _CHECKS for each in check(tables)]
    return tuple(x for x in found if isinstance(x, Note)), [x for x in found if isinstance(x, str)]


def _warn(code: str, table: Table, wrong: pd.Series, message: str) -> Found:
    """A warning of the rows that are ``wrong``, if there are any."""
    at = np.flatnonzero(wrong.to_numpy(bool))
    if len(at):
        rows = tuple(f"row {table.labels[i]}" for i in at[:10])
        yield Note(WARNING, code, message, len(at), rows=rows)


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
        yield from _warn("long-follow-up", tables.people, wrong, message)
    elif most < SHORT_MONTHS and len(frame) >= FEWEST:
        days = significant(most * DAYS_PER_MONTH, 2)
        message = f"nobody is followed for more than {days} days: is time_unit = {unit!r} right?"
        message += hint.replace(";", "", 1)
        yield from _warn("short-follow-up", tables.people, longest > 0, message)


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
        f"{significant(low, 2)} "
        f"to {significant(high, 2)} in most: by about a factor {significant(pairs[which], 3)}, as if times "
        "of "
        f"scans and of PFS were in two units ({which}); later scans would be taken for early ones, or the "
        "reverse"
    )
    yield from _warn("scan-time-unit", tables.visits, scans["patient"].isin(share.index), message)


def _inverted(tables: Tables) -> Found:
    """Events that are censorings: by the name of the column, or because they come last."""
    for endpoint in tables.endpoints:
        column = f"{endpoint}_event"
        name = tables.columns.get(column, column)
        told = endpoint in tables.how.event_is
        named = name.lower().startswith(("cnsr", "cens")) and not told
        # cens = 1 is an event in some published data, and CNSR = 1 never
        sure = name.lower().startswith("cnsr") or _events_later(*tables.events(endpoint)) > 0.5
        why = f"its column is {name}, and CNSR = 0 is an event" if named and sure else ""
        why = "; ".join(filter(None, [why, _pattern(tables, endpoint)]))
        if why:
            message = (
                f"events and censorings of {words(endpoint)} seem to be exchanged ({why}): if 0 is an event, "
                f"say event_is = {{{endpoint} = 0}}"
            )
            yield from _warn("events-exchanged", tables.people, tables.people.frame[column] == 1, message)


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
            "PFS: say "
            'pfs_censored_at_death = "event" to count it, or "censored" if that is meant'
        )
        yield from _warn("pfs-censored-at-death", tables.people, at, message)


def _pfs_after_os(tables: Tables) -> Found:
    if len(tables.endpoints) > 1 and tables.how.pfs_after_os == "keep":
        frame = tables.people.frame
        later = frame["pfs_time"] > frame["os_time"]
        message = f"PFS of {counted(int(later.sum()), 'patient')} ends later than OS, kept as it is"
        yield from _warn("pfs-later-than-os", tables.people, later, message)


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
            yield from _warn("pfs-is-os", tables.people, same, message)


def _sentinel_values(tables: Tables) -> Found:
    """Values such as 999 or -99 that are far from all others, or repeated at the edge."""
    people, scans = tables.people.frame, tables.visits.frame
    numbers = {f"{name}_time": (tables.people, tables.times(f"{name}_time")) for name in tables.endpoints}
    numbers |= {
        name: (tables.people, people[name])
        for name in tables.covariates
        if name in people and people[name].dtype.kind == "f"
    }
    numbers |= {name: (tables.visits, scans[name]) for name in ("size", "pchg") if name in scans}
    for name, (table, values) in numbers.items():
        if codes := sentinels(values.to_numpy(float)):
            texts = [f"{code:g}" for code in codes]
            at = values.isin(codes)
            message = (
                f"{counted(int(at.sum()), 'value')} of {name} ({', '.join(texts)}) stand apart from the "
                "others "
                f"(which are {values[~at].min():g} to {values[~at].max():g}), as codes for a missing value "
                "do: say "
                f"missing_codes = {{{name} = [{', '.join(texts)}]}} if they are"
            )
            yield from _warn("missing-code", table, at, message)


def sentinels(values: np.ndarray) -> list[float]:
    """Which of the usual codes for a missing value are among ``values`` and do not belong to them."""
    values = values[np.isfinite(values)]
    codes = [code for code in SENTINELS if (values == code).any()]
    rest = values[~np.isin(values, codes)]
    if len(rest) < FEWEST:
        return []
    low, high = rest.min(), rest.max()
    spread, found = high - low, []
    for code in codes:
        gap = low - code if code < low else code - high
        apart = gap > max(spread, 1.0) or (code < 0 <= low)
        repeated = (values == code).sum() >= 3 and gap > 0.1 * spread > 0
        found += [code] if gap > 0 and (apart or repeated) else []
    return found


def _changes(tables: Tables) -> Found:
    """Fractions for percent, and shrinkage for change."""
    scans = tables.visits.frame
    if "pchg" not in scans:
        return
    after = ~scans["is_baseline"] & scans["pchg"].notna()
    changes = scans["pchg"][after]
    small = changes.abs().max() < FRACTION_BELOW if len(changes) >= FEWEST else False
    if small and (changes != 0).any() and tables.how.change_unit is None:
        got = f"all {len(changes)} changes are below {FRACTION_BELOW:g} (up to {changes.abs().max():g})"
        todo = (
            'Say change_unit = "fraction" (-0.46 is 46 % smaller), or "percent" if they are as small as that.'
        )
        yield problem(
            tables.visits.name,
            got,
            "percent, such as -46",
            todo,
            tables.visits.rows(after & (scans["pchg"] != 0)),
        )
    shrunk = scans["response"].isin(["CR", "PR"]) & after
    if shrunk.sum() >= FEWEST and (scans["pchg"][shrunk] > 0).mean() > 0.5:
        message = (
            f"{int((scans['pchg'][shrunk] > 0).sum())} of {int(shrunk.sum())} scans read as CR or PR have "
            "a pchg above 0, "
            "which is growth: is its sign reversed?"
        )
        yield from _warn("sign-of-change", tables.visits, shrunk & (scans["pchg"] > 0), message)


def _size_unit(tables: Tables) -> Found:
    scans = tables.visits.frame
    if "size" not in scans or tables.size_unit is None:
        return
    baseline = scans["size"][scans["is_baseline"]].dropna() * SIZE_UNITS[tables.size_unit]
    if len(baseline) >= FEWEST and not 8 <= baseline.median() <= 800:
        message = (
            f"the middle sum of diameters at baseline is {significant(baseline.median(), 2)} mm: is "
            f"size_unit = {tables.size_unit!r} right?"
        )
        yield from _warn("size-unit", tables.visits, scans["is_baseline"], message)


def _labels(tables: Tables) -> Found:
    """Arms, studies and categories that differ by case, space or marks alone."""
    frame = tables.people.frame
    texts = [name for name in tables.covariates if name in frame and frame[name].dtype.kind == "O"]
    for name in ("arm", "study", *texts):
        if name not in frame:
            continue
        alike = alike_labels(frame[name])
        at = frame[name].isin([label for group in alike for label in group[1:]])
        if not alike:
            continue
        named = "; ".join(" and ".join(_counted(frame[name], label) for label in group) for group in alike)
        got = f"{name}s that differ only in case, space or marks: {named}"
        if name == "arm" and tables.arms is None:
            todo = "Correct them; or, if they are different arms, name every one in arms."
            yield problem(
                tables.people.name, got, "each arm written in one way", todo, tables.people.rows(at)
            )
        else:
            yield from _warn("labels-alike", tables.people, at, got)


def _counted(values: pd.Series, label: str) -> str:
    return f"{label!r} ({int((values == label).sum())})"


def alike_labels(values: pd.Series) -> list[list[str]]:
    """Groups of labels that differ only in case, space or marks, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for label in values.dropna().astype(str).value_counts().index:
        bare = "".join(c for c in unicodedata.normalize("NFKD", label).casefold() if c.isalnum())
        groups.setdefault(bare or label, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _characters(tables: Tables) -> Found:
    """Characters that nobody sees, in identifiers and labels."""
    for table, names in ((tables.people, ("patient", "arm", "study")), (tables.visits, ("patient",))):
        for name in names:
            if name in table.frame:
                values = table.frame[name].dropna()
                if not _unseen("".join(values.unique())):
                    continue
                if name == "arm" and tables.arms is not None:
                    values = values[~values.isin(tables.arms)]  # named as it is written
                odd = each_value(values, _unseen).astype(bool)
                if odd.any():
                    found = sorted({c for value in values[odd] for c in _unseen(value)})
                    got = f"values of {name} with characters that cannot be seen: {', '.join(found)}"
                    at = odd.reindex(table.frame.index, fill_value=False)
                    yield problem(
                        table.name, got, "letters, digits and signs", "Remove them.", table.rows(at)
                    )


def _unseen(value: str) -> list[str]:
    return strange_characters(value, seen=False)


def _studies(tables: Tables) -> Found:
    frame = tables.people.frame
    found = frame["study"].value_counts().index if "study" in frame else []
    if len(found) > 1:
        counts = ", ".join(_counted(frame["study"], label) for label in found)
        message = (
            f"the patients are of {len(found)} studies ({counts}), which are analysed as one: studies "
            "have no baseline hazards of their own here. Analyse each by itself, or both in a synthesis"
        )
        yield from _warn("several-studies", tables.people, frame["study"].notna(), message)


_CHECKS: tuple[Callable[[Tables], Found], ...] = (
    _characters,
    _labels,
    _follow_up,
    _scan_unit,
    _inverted,
    _censored_at_death,
    _pfs_after_os,
    _same_endpoints,
    _sentinel_values,
    _changes,
    _size_unit,
    _studies,
)
