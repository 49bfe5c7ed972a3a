"""Results side by side: their hazard ratios, by how much they differ, and what differed in their making."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_net import schema
from bayes_net.errors import InputError, listed
from bayes_net.labels import QUICK, landmark_label, landmark_names
from bayes_net.numbers import MISSING, format_ratio, rounded
from bayes_net.results.columns import KEYS
from bayes_net.results.folder import ResultFolder, as_written, read_result, short_names
from bayes_net.schema import ARM, PER_1_POINT

_COMPARED = ["hr", "lower", "upper", "level", "mcse_hr", "prob_below_1", "gate", QUICK]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several results side by side.

    ``hazard_ratios``: one row for every hazard ratio of every result, with what it is about, ``result``, hr,
    lower, upper, level, mcse_hr, prob_below_1, gate, quick (a quick look), and against the first result
    ``ratio`` (hr / hr of the first) and ``shift`` (the difference of their logarithms in its posterior SDs).
    ``differences``: one row for every setting that is not the same in all results, one column a result.
    """

    names: tuple[str, ...]
    hazard_ratios: pd.DataFrame
    differences: pd.DataFrame

    def to_read(self) -> list[pd.DataFrame]:
        """Both tables as text, each with its heading in ``attrs["title"]``; of shrinkage, per 10 points."""
        titles = f"Hazard ratios, against {self.names[0]}", "What differed"
        tables = [self._ratios_to_read(), _with_short_digests(self.differences)]
        for table, title in zip(tables, titles, strict=True):
            table.attrs["title"] = title if len(table) else f"{title}: nothing"
        return tables

    def _ratios_to_read(self) -> pd.DataFrame:
        table = self.hazard_ratios[self.hazard_ratios["measure"] != PER_1_POINT]
        rows = []
        for key, of_key in table.groupby(KEYS, sort=False):
            found = {row.result: row for row in of_key.itertuples()}
            cells = [_ratio(found.get(name)) for name in self.names]
            moved = [_movement(found.get(name)) for name in self.names[1:]]
            labels = dict(zip(KEYS, key, strict=True))
            labels["landmark"] = landmark_label(labels["landmark"])
            rows.append([*labels.values(), *cells, *moved])
        titles = [f"{name}: ratio, shift" for name in self.names[1:]]
        read = pd.DataFrame(rows, columns=[*KEYS, *self.names, *titles])
        same = [key for key in KEYS if key != "landmark" and len(set(read[key])) == 1]
        return read.drop(columns=same)


def _ratio(row: Any) -> str:
    if row is None:
        return MISSING
    return f"{format_ratio(row)}{' gate failed' * (row.gate != schema.PASSED)}{' quick look' * row.quick}"


def _movement(row: Any) -> str:
    if row is None or not np.isfinite(row.ratio):
        return MISSING
    return f"{rounded(row.ratio)}, {rounded(row.shift, 1, sign='+')} SD"


def _with_short_digests(differences: pd.DataFrame) -> pd.DataFrame:
    """Twelve characters of a digest are enough to tell two apart."""
    table = differences.set_index("setting")
    digests = table.index.str.contains("sha256")
    table.loc[digests] = table.loc[digests].map(lambda text: text[:12])
    return table.reset_index()


def compare(folders: Sequence[Path | str], *, arms: Mapping[str, str] | None = None) -> Comparison:
    """Compare the results of several runs.

    ``arms`` maps names of arms to those under which they are compared, ``{"PRRT": "177Lu"}``, where results
    call the same treatment by different names.

    Raises
    ------
    InputError
        Fewer than two folders, a folder without a result, results that have no hazard ratio in common, or
        ``arms`` has a name that no result has, or makes two arms of a result one.
    """
    if len(folders) < 2:
        raise InputError(f"{len(folders)} result to compare; expected two or more folders")
    results = [read_result(folder) for folder in folders]
    names = short_names(results)
    if len(set(names)) < len(names):
        raise InputError("the same folder is given twice; expected different results")
    with as_written(" or ".join(str(result.path) for result in results)):
        parts = [_ratios(result).assign(result=name) for name, result in zip(names, results, strict=True)]
        table = pd.concat([_renamed(part, arms or {}) for part in parts], ignore_index=True)
        if absent := set(arms or {}) - {arm for part in parts for arm in part[ARM]}:
            raise InputError(f"no result has an arm {listed(sorted(absent))}; {_arms_of(parts)}")
        if table.groupby(KEYS)["result"].nunique().max() < 2:
            raise InputError(
                f"{', '.join(names)} have no endpoint, arm, landmark and measure in common; "
                f"{_arms_of(parts)}. "
                "Arms of different names are compared with arms (--arm PRRT=177Lu)"
            )
        return Comparison(tuple(names), _against_first(table, names[0]), _differences(names, results))


def _renamed(part: pd.DataFrame, arms: Mapping[str, str]) -> pd.DataFrame:
    """The rows of a result with the names of arms under which they are compared."""
    renamed = part.assign(**{ARM: part[ARM].replace(dict(arms))})
    if renamed[ARM].nunique() < part[ARM].nunique():
        raise InputError(
            f"arms makes two arms of {part['result'].iloc[0]} one; it has {listed(part[ARM].unique())}"
        )
    return renamed


def _arms_of(parts: Sequence[pd.DataFrame]) -> str:
    return "; ".join(f"{part['result'].iloc[0]} has {listed(part[ARM].unique())}" for part in parts)


def _ratios(result: ResultFolder) -> pd.DataFrame:
    found = [result.tables[name] for name in ("hazard_ratios", "arms_and_studies") if name in result.tables]
    if not found:
        raise InputError(f"{result.path} has no hazard ratios to compare")
    # a synthesis's "no limit" without its bias is not the "no limit" of patients
    named = [table.assign(landmark=landmark_names(table)) for table in found]
    told = [table.assign(**{QUICK: QUICK in table}) for table in named]
    return pd.concat([table[[*KEYS, *_COMPARED, "log_sd"]] for table in told], ignore_index=True)


def _against_first(table: pd.DataFrame, first: str) -> pd.DataFrame:
    reference = table.loc[table["result"] == first, [*KEYS, "hr", "log_sd"]]
    table = table.merge(reference, on=KEYS, how="left", suffixes=("", "_first"), validate="many_to_one")
    table["ratio"] = table["hr"] / table["hr_first"]
    table["shift"] = np.log(table["ratio"]) / table["log_sd_first"]
    table["place"] = table.groupby(KEYS, sort=False).ngroup()
    table = table.sort_values("place", kind="stable", ignore_index=True)
    return table[[*KEYS, "result", *_COMPARED, "ratio", "shift"]]


def _differences(names: Sequence[str], results: Sequence[ResultFolder]) -> pd.DataFrame:
    settings = pd.DataFrame(map(_settings, results), index=names).fillna(MISSING).T
    differing = settings.ne(settings.iloc[:, 0], axis=0).any(axis=1)
    return settings[differing].rename_axis(index="setting", columns=None).reset_index()


def _settings(result: ResultFolder) -> dict[str, str]:
    """Every key of the specification, and data and versions, as text."""
    provenance = {
        name: str(value)
        for name, value in result.provenance.items()
        if name.startswith(("data_sha256", "evidence_sha256", "version "))
    }
    return dict(_flat(tomllib.loads(result.specification))) | provenance


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """``priors.slope.sd`` and its value, for every leaf of a TOML document."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for number, part in enumerate(value, start=1):
            yield from _flat(part, f"{name}[{number}]")
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
