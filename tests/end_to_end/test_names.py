"""Names of studies and arms that are the same once they are joined: (A, B Lu) is not (A B, Lu)."""

import re

import pandas as pd
import pools
import pytest
import xarray as xr
from test_synthesis_run import csvs, opened, page, written

import bayes_net as bn
from bayes_net.labels import about, select

ALIKE = ("A", "A B", "B Lu", "Lu")
"""Reference study, single-arm study, first arm, second arm."""
HARMLESS = ("Xfirst", "Xsecond", "Xcontrol", "Xtreated")


def run(folder, names):
    """The folder of a run of two studies with these names: three kinds of their labels meet."""
    reference, single, control, treated = names
    of = {"study": reference, "reference_arm": control}
    rows = [
        pools.row("M1", "median", 9, lower=7, upper=11.5, n=110, arm=control, study=reference),
        pools.ratio("R1", -0.9, 0.2, arm=treated, **of),
        pools.slope("S1", -0.04, 0.015, "150d", arm=treated, study=reference),
        pools.row("M2", "median", 29, lower=22, upper=38, n=60, arm=treated, study=single),
        pools.row("C1", "count", 30, n=60, endpoint="response", arm=treated, study=single),
        pools.row("C2", "count", 2, n=90, endpoint="response", arm=control, study=reference),
        pools.row("C3", "count", 20, n=80, endpoint="shrinkage", threshold=30, arm=control, study=reference),
        pools.row("C4", "count", 25, n=60, endpoint="shrinkage", threshold=30, arm=treated, study=single),
        pools.row(
            "K1", "survival", 0.7, lower=0.5, upper=0.8, time=12, use="check", arm=treated, study=single
        ),
    ]
    model = {"arms": [control, treated], "reference": reference, "cuts": ["8mo"]}
    sampling = {"seed": 1, "draws": 250, "tune": 250, "target_accept": 0.9, "retry": False}
    path = written(folder, rows, model=model, sampling=sampling)
    return bn.run(bn.read_specification(path), folder / "out").folder


@pytest.fixture(scope="module")
def outs(tmp_path_factory):
    return [run(tmp_path_factory.mktemp("names"), names) for names in (ALIKE, HARMLESS)]


def renamed(text):
    """A harmless text with the other names; what is no text stays."""
    for name, other in zip(HARMLESS, ALIKE, strict=True):
        text = text.replace(name, other) if isinstance(text, str) else text
    return text


def test_curves_that_join_to_one_text_are_two(outs):
    draws = opened(outs[0])["posterior"].to_dataset()
    curves = about(draws["log_hazard"])[["endpoint", "study", "arm"]].drop_duplicates()
    assert len(curves) == draws.sizes["curve"] == 3
    one, other = (
        select(draws["log_hazard"], curve=("pfs", *curve)) for curve in (("A", "B Lu"), ("A B", "Lu"))
    )
    assert (one != other).all()
    assert len(about(draws["response"]).drop_duplicates()) == 2


def test_draws_do_not_depend_on_the_names(outs):
    first, second = (opened(out) for out in outs)
    for group in ("posterior", "prior"):
        harmless = second[group].to_dataset()
        coords = {
            name: x.copy(data=[renamed(text) for text in x.values])
            for name, x in harmless.coords.items()
            if x.dtype.kind in "OU"
        }
        xr.testing.assert_identical(first[group].to_dataset(), harmless.assign_coords(coords))


def test_tables_do_not_depend_on_the_names(outs):
    first, second = map(csvs, outs)
    assert set(first) == set(second)
    for name, table in second.items():
        pd.testing.assert_frame_equal(first[name], table.map(renamed), check_exact=True, obj=name)


def test_the_report_does_not_depend_on_the_names(outs):
    first, second = (re.findall(r"<td[^>]*>(.*?)</td>", page(out), re.S) for out in outs)
    hashed = re.compile(r"[0-9a-f]{64}")
    assert [hashed.sub("", cell) for cell in first] == [hashed.sub("", renamed(cell)) for cell in second]
    assert len(first) > 100
    assert "nan" not in re.findall(r"\w+", " ".join(first))
