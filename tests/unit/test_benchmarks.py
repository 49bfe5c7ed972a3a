"""The benchmarks are run by hand; what they reach into the package for is there."""

import importlib
import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def places() -> list[str]:
    """Every function that a clock is put on."""
    spec = importlib.util.spec_from_file_location("stages", BENCHMARKS / "stages.py")
    stages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stages)
    return [place for of_stage in stages.STAGES.values() for place in of_stage]


@pytest.mark.parametrize("place", places())
def test_what_is_clocked_is_there(place):
    module, _, name = place.partition(":")
    assert callable(getattr(importlib.import_module(f"bayes_net.{module}"), name))


def test_what_counts_approximations_stands_where_fits_look_it_up():
    """``refits.py`` replaces it there."""
    source = (BENCHMARKS / "refits.py").read_text("utf-8")
    assert "sampling.sample_posterior = synthesis.sample_posterior = noted" in source
    patients = importlib.import_module("bayes_net.inference.patients")
    assert not hasattr(patients, "sample_posterior")
    assert hasattr(importlib.import_module("bayes_net.inference.synthesis"), "sample_posterior")
