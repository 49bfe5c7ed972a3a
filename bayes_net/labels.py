"""What stands at each place along a dim: coordinates to select by, columns of a table, and words.

A curve is of an endpoint, a study and an arm. Along such a dim stand coordinates, one for each of its
``schema.FIELDS`` and named after both: ``curve_endpoint``, ``curve_study``, ``curve_arm``. They have no
index, so that they are written to NetCDF as they are; ``draws.set_xindex(["curve_study", "curve_arm"])``
gives them one, for ``.sel``. ArviZ wants one label a place: ``fit.to_arviz()``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from bayes_net.schema import (
    ARM,
    BIAS_TAKEN_OFF,
    BIASED,
    ENDPOINT,
    FIELDS,
    NO_LIMIT,
    OBSERVED,
    SAMPLE_DIMS,
    STUDY,
)

Draws = TypeVar("Draws", xr.DataArray, xr.Dataset)
Labels = Mapping[str, Sequence]
"""By dim: a tuple of its fields at every place, or a label where it has none."""
QUICK, QUICK_LOOK = "quick", "QUICK LOOK"
"""The column of tables of a run with short chains, and how its title begins."""
_WHO = (ENDPOINT, STUDY, ARM)


def coordinates(labels: Labels) -> dict[str, object]:
    """The coordinates of these dims, for a Dataset."""
    found: dict[str, object] = {}
    for dim, own in labels.items():
        if dim in FIELDS:
            columns = zip(FIELDS[dim], zip(*own, strict=True), strict=True)
            found |= {f"{dim}_{field}": (dim, list(values)) for field, values in columns}
        else:
            found[dim] = list(own)
    return found


def index_labels(labels: Labels) -> dict[str, list]:
    """One label a place, for ``pm.Model``: where a dim has fields, their tuple as Python writes it."""
    return {dim: [repr(label) if dim in FIELDS else label for label in own] for dim, own in labels.items()}


def select(draws: Draws, **labels: object) -> Draws:
    """The draws at one place of each dim: ``select(draws, curve=("pfs", "A", "control"))``."""
    for dim, label in labels.items():
        if dim not in FIELDS:
            draws = draws.sel({dim: label}, drop=True)
            continue
        columns = [draws[f"{dim}_{field}"].values for field in FIELDS[dim]]
        places = [i for i, own in enumerate(zip(*columns, strict=True)) if own == label]
        if not places:
            raise KeyError(f"{dim} {label}")
        draws = draws.isel({dim: places[0]}, drop=True)
    return draws


def about(values: xr.DataArray) -> pd.DataFrame:
    """What each element is of, one row an element in the order of the dims: a column a field, or a dim
    without fields. Chain and draw are no part of it."""
    dims = [dim for dim in values.dims if dim not in SAMPLE_DIMS]
    sizes = [values.sizes[dim] for dim in dims]
    places = np.indices(sizes).reshape(len(dims), -1) if dims else ()
    columns = {
        name: own[place]
        for dim, place in zip(dims, places, strict=True)
        for name, own in _columns(values, dim)
    }
    return pd.DataFrame(columns, index=range(int(np.prod([values.sizes[dim] for dim in dims]))))


def _columns(values: xr.DataArray, dim: str) -> Iterator[tuple[str, np.ndarray]]:
    fields = [field for field in FIELDS.get(dim, ()) if f"{dim}_{field}" in values.coords]
    yield from ((field, values[f"{dim}_{field}"].values) for field in fields)
    if not fields:
        yield dim, values[dim].values


def texts(table: pd.DataFrame) -> list[str]:
    """Every row of a table like ``about`` in words, for people: ``pfs control, 150 d``."""
    found, last = [""] * len(table), ""
    for name in table:
        between = " " if {name, last} <= set(_WHO) else ", " * bool(last)
        found = [f"{text}{between}{label}" for text, label in zip(found, table[name], strict=True)]
        last = name
    return found


@xr.register_datatree_accessor("to_arviz")
class ToArviz:
    """``fit.to_arviz()``: what ``az.summary``, ``az.plot_trace``, ``az.plot_forest``, ``az.loo`` and
    ``az.compare`` take, with the fields of each dim joined to one label a place: ``pfs, NETTER-1, control``.

    With ArviZ 1 it is a tree, with ArviZ 0 ``InferenceData`` of the same groups and attributes.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __call__(self) -> Any:
        """The fit, of whichever type the ArviZ that is installed takes."""
        import arviz

        groups = {name: _joined(group.to_dataset()) for name, group in self._tree.children.items()}
        if arviz.__version__.startswith("0."):
            return arviz.InferenceData(attrs=self._tree.attrs, **groups)
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs=self._tree.attrs), **groups})


def _joined(draws: xr.Dataset) -> xr.Dataset:
    """The same with one text for each place of the dims that have fields."""
    for dim in FIELDS:
        names = [name for field in FIELDS[dim] if (name := f"{dim}_{field}") in draws.coords]
        if names:
            places = zip(*(draws[name].values for name in names), strict=True)
            labels = [", ".join(map(str, place)) for place in places]
            draws = draws.drop_vars(names).assign_coords({dim: labels})
    return draws


WITHOUT_BIAS = f"{NO_LIMIT}, {BIAS_TAKEN_OFF}"
BIAS_ASSUMED = "the size of the bias is assumed"


def landmark_names(hazard_ratios: pd.DataFrame) -> pd.Series:
    """Each row's landmark; ``no limit`` of a synthesis says so where its bias was taken off."""
    return hazard_ratios["landmark"].mask(hazard_ratios["status"] == BIAS_TAKEN_OFF, WITHOUT_BIAS)


def landmark_label(label: str, biased: bool | None = None) -> str:
    """The landmark's name, which for ``no limit`` always says that it is biased, or that a bias of assumed
    size was taken off; ``biased`` is seen from the name where it is not given."""
    if label == WITHOUT_BIAS:
        return f"{label} ({BIAS_ASSUMED})"
    if biased is None:
        biased = label in (NO_LIMIT, OBSERVED)
    return f"{label} ({BIASED})" if biased else label


def landmark_labels(table: pd.DataFrame) -> list[str]:
    """``landmark_label`` of every row of a table with columns ``landmark`` and ``biased``."""
    return [landmark_label(*row) for row in zip(table["landmark"], table["biased"], strict=True)]
