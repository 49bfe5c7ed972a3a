"""The engine's log density equals a closed form, its code is kept safely, its draws repeat.

test_definitions.py compares it with the models as they are defined.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from arviz_stats.base import array_stats
from exposures import patients
from pools import assumptions, direction, evidence, prrt, row, z_of
from test_likelihood import (
    LAYOUTS,
    VARIANTS,
    around,
    likelihood,
    prior_density,
    shape_of,
    slope_along,
    theta_of,
)

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.hazard import Hazard
from bayes_net.assumptions.priors import Flat, HalfNormal, Normal, Priors
from bayes_net.compiled import code as engine_code
from bayes_net.data.exposure import long_form
from bayes_net.engine import nuts
from bayes_net.engine.laplace import turned_to_mode
from bayes_net.engine.patients import patients_posterior
from bayes_net.engine.posterior import packed
from bayes_net.engine.synthesis import synthesis_posterior
from bayes_net.errors import InputError
from bayes_net.inference.sampling import Sampler, sample_posterior
from bayes_net.statistics.kinds import KINDS

RTOL = 1e-10
"""Algebra in another order: covers the rounding of sums of a few hundred terms."""


def assert_equal(posterior, density) -> None:
    """Value and gradient of the engine are those of ``density``, of variables by name: the gradient along a
    direction of each point's own."""
    rng = np.random.default_rng(8)
    for x in around(posterior):
        value, found = posterior(x)
        theta, along = theta_of(posterior, x), direction(len(x), rng)
        assert value == pytest.approx(density(theta), rel=RTOL)
        expected = slope_along(density, theta, along)
        np.testing.assert_allclose(found @ along, expected, rtol=0, atol=RTOL * np.abs(found).max())


# --- patients -----------------------------------------------------------------------------------------------


def assert_is_the_patients_model(data, hazard, kind) -> None:
    posterior, rows = patients_posterior(data, hazard, shape=shape_of(data, kind)), long_form(data)

    def density(theta):
        return likelihood(theta, data, hazard, rows) + prior_density(theta, data, hazard)

    assert_equal(posterior, density)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_patients_density_and_gradient_equal_the_closed_form(variant, kind):
    hazard, options = VARIANTS[variant]
    assert_is_the_patients_model(patients(**options), hazard, kind)


def any_priors(rng) -> Priors:
    """Priors with any numbers; now and then a flat one."""

    def one():
        return Flat() if rng.random() < 0.2 else Normal(rng.normal(-0.5, 1.0), rng.uniform(0.2, 2.0))

    # the closed form has no flat level of a walk
    level = Normal(rng.normal(-2.5, 0.5), rng.uniform(0.2, 2.0))
    change, slope_change = HalfNormal(rng.uniform(0.2, 1.5)), HalfNormal(rng.uniform(0.1, 0.8))
    return Priors(level, change, one(), one(), one(), slope_change)


def any_patients(rng, seed):
    """Patients of one to three arms, with any cut-points and covariates."""
    return patients(
        n=int(rng.integers(1, 90)),
        seed=seed,
        arms=[f"arm {i}" for i in range(int(rng.integers(1, 4)))],
        cuts=np.cumsum(rng.uniform(0.5, 6.0, int(rng.integers(0, 8)))),
        covariates=[name for name in ("grade: II", "age") if rng.random() < 0.5],
        studies=("A", "B") if rng.random() < 0.3 else (),
    )


COMBINATIONS = list(
    product(
        ("shared", "per arm"), ("rw1", "independent"), ("per arm", "common", "none", "time-varying"), LAYOUTS
    )
)


@pytest.mark.parametrize("seed", range(len(COMBINATIONS)))
def test_any_patients_with_any_assumptions_have_the_closed_forms_density(seed):
    rng = np.random.default_rng(seed)
    *assumed, kind = COMBINATIONS[seed]
    data = any_patients(rng, seed)
    assert_is_the_patients_model(data, Hazard(*assumed, priors=any_priors(rng)), kind)


def test_a_turned_vector_has_the_same_density():
    plain = synthesis_posterior(prrt())
    rng = np.random.default_rng(5)
    root = np.tril(rng.normal(0.0, 0.1, (plain.size, plain.size)) * rng.integers(0, 2, (plain.size,) * 2))
    centre = rng.normal(0.0, 0.1, plain.size)
    turned = plain.turned(centre, root, spread=1.0)
    u = rng.normal(0.0, 0.3, (4, plain.size))
    for x in u:
        value, gradient = turned(x)
        expected, by_x = plain(centre + root @ x)
        assert value == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, by_x @ root, rtol=1e-9, atol=1e-9)
    for name, own in turned.named(u).items():
        np.testing.assert_allclose(own, plain.named(centre + u @ root.T)[name], rtol=1e-12)


def test_at_the_mode_the_turned_density_is_about_standard_normal():
    turned = turned_to_mode(synthesis_posterior(prrt()))
    value, gradient = turned(np.zeros(turned.size))
    assert np.abs(gradient).max() < 0.01
    rng = np.random.default_rng(2)
    for x in 0.1 * rng.standard_normal((5, turned.size)):
        # small correlations are left out of the turn
        assert value - turned(x)[0] == pytest.approx(0.5 * x @ x, rel=0.2)


def test_without_a_mode_nothing_is_turned():
    known = synthesis_posterior(prrt())
    nowhere = replace(known, start=np.full(known.size, np.nan))
    flat = replace(known, fields={**known.fields, "prior_root": np.zeros(len(known.fields["prior_root"]))})
    for posterior in (nowhere, flat):
        assert turned_to_mode(posterior) is posterior


def test_a_field_that_the_code_does_not_know_is_refused():
    with pytest.raises(ValueError, match=r"fields \['node_weight'\] are unknown"):
        packed({"node_weight": np.ones(3)})


def test_a_point_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"point has shape \(3,\); expected \(12,\)"):
        patients_posterior(patients())(np.zeros(3))


# --- sampling -----------------------------------------------------------------------------------------------


def few_draws(posterior, seed, sampler=Sampler(draws=60, tune=120, chains=2)) -> np.ndarray:
    """Draws of all variables, one after another."""
    dims = {name: [f"{name} {i}" for i in range(len(v.shape))] for name, v in posterior.variables.items()}
    tree = sample_posterior(posterior, dims=dims, seed=seed, sampler=sampler)
    parts = [tree["posterior"][name].values for name in posterior.variables]
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)


def test_nutpie_takes_the_compiled_functions_as_they_are():
    """Flat priors and one interval: hazards are gamma distributed. Where this fails with a new nutpie, its
    ``CompiledPyMCModel`` has other fields, or calls the functions otherwise: see ``engine/nuts.py``."""
    data = patients(cuts=())
    flat = Hazard(smoothing="independent", slopes="none", priors=Priors(level=Flat()))
    draws = np.exp(few_draws(patients_posterior(data, flat), 1, Sampler(1000, 300, 4, 0.8)))
    hits, months = data.events[:, 0], data.person_time[:, 0]
    for a in range(2):
        own = draws[..., a]
        spread = (own - own.mean()) ** 2
        for found, exact in ((own, hits[a] / months[a]), (spread, hits[a] / months[a] ** 2)):
            assert abs(found.mean() - exact) < z_of(4) * array_stats.mcse(found, method="mean")


def test_the_same_seed_gives_the_same_draws():
    posterior = patients_posterior(patients(40))
    np.testing.assert_array_equal(few_draws(posterior, 3), few_draws(posterior, 3))
    assert not np.array_equal(few_draws(posterior, 3), few_draws(posterior, 4))


def test_raw_traces_load_no_arviz_and_others_load_the_real_one():
    script = """
import sys
from bayes_net.engine.nuts import _library as nutpie
assert "arviz" not in sys.modules, "loaded, or left in its place"
assert nutpie.sample.__globals__["arviz"].from_dict.__module__.startswith("arviz")
assert sys.modules["arviz"].__file__
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


# --- code on disk -------------------------------------------------------------------------------------------

CHILD = """
import hashlib, sys, warnings
import numba
import numpy as np
from bayes_net.data.exposure import Exposure
from bayes_net.compiled import code as engine_code
from bayes_net.compiled.code import code
from bayes_net.engine.nuts import nuts_model
from bayes_net.engine.laplace import turned_to_mode
from bayes_net.engine.patients import patients_posterior
import nutpie

rng = np.random.default_rng(1)
data = Exposure(rng.exponential(9.0, 50), np.ones(50), np.arange(50) % 2, rng.normal(size=50),
                np.empty((50, 0)), np.array([3.0, 8.0]), ("a", "b"), ())
posterior = patients_posterior(data)

@numba.njit
def round_density(u, gradient, work, slots, values):
    gradient[:] = -u
    return -0.5 * (u * u).sum()

assert "uncertain_density" in vars(engine_code), "which code compiles"
engine_code.uncertain_density = round_density
print("compiling", flush=True)
print("cached" if code().cached else "compiled", flush=True)
trace = nutpie.sample(nuts_model(posterior), draws=50, tune=100, chains=2, seed=5, progress_bar=False)
print(hashlib.sha256(np.ascontiguousarray(trace.posterior["x"].values)).hexdigest())
print("pymc" in sys.modules or "pytensor" in sys.modules)
"""
"""With a density that is compiled in a second in place of the engine's, which is kept in the same way; that
the engine's own draws alike when it is read from the folder is in tests/end_to_end/test_cost.py."""


def child(folder, **more) -> subprocess.Popen:
    """A process of its own that compiles, samples and prints."""
    variables = os.environ | {engine_code.CACHE_VARIABLE: str(folder)} | more
    return subprocess.Popen(
        [sys.executable, "-W", "default::RuntimeWarning", "-c", CHILD],
        env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer(process) -> tuple[str, str, str]:
    """Where the code came from, a digest of the draws, and what was warned of."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    _, origin, draws, heavy = out.split()
    assert heavy == "False", "PyMC or PyTensor was imported"
    return origin, draws, err


def test_code_survives_a_kill_two_first_runs_at_once_and_a_broken_file(tmp_path):
    killed = child(tmp_path)
    assert killed.stdout.readline() == "compiling\n"
    time.sleep(0.1)  # well before it is done
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    together = [child(tmp_path), child(tmp_path)]
    cold = [answer(process) for process in together]
    warm = answer(child(tmp_path))
    assert [origin for origin, *_ in cold] == ["compiled", "compiled"]
    assert warm[0] == "cached"
    assert "RuntimeWarning" not in warm[2]

    kept = [path for path in tmp_path.rglob("*.nbc") if "_log_density" in path.name]
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:1000])
    broken = answer(child(tmp_path))
    assert broken[0] == "compiled"
    assert "cannot be read" in broken[2]

    # bit for bit, from the folder or not, and in processes that run side by side
    assert len({draws for _, draws, _ in [*cold, warm, broken]}) == 1


def test_a_number_that_the_code_cannot_read_off_a_curve_is_refused(tmp_path, monkeypatch):
    rows = [row("S", "survival", "0.45", lower="0.35", upper="0.55", time="12", n="113")]
    network = combine_network(evidence(rows, tmp_path), assumptions())
    monkeypatch.setattr(
        type(KINDS["survival"]), "of_curve", staticmethod(lambda hazard, months, maths=None: 1)
    )
    with pytest.raises(InputError, match=r'the engine cannot read .* fit with engine = "pymc"'):
        synthesis_posterior(network)


def test_an_interrupted_sampler_gives_no_draws(monkeypatch):
    """nutpie itself gives those so far, as if they were all."""
    cancelled = []

    class Running:
        def wait(self):
            raise KeyboardInterrupt

        def cancel(self):
            cancelled.append(True)

    monkeypatch.setattr(nuts._library, "sample", lambda *_, blocking, **__: Running())
    with pytest.raises(KeyboardInterrupt):
        nuts.nutpie.sample(None, draws=10)
    assert cancelled
