"""Will a planned study find it? Assurance, power and type I error of a decision rule, by simulated studies.

Patients of a planned study are drawn from those of a landmark (arm, shrinkage, covariates), enter uniformly
over the accrual, and are followed until a time after the last has entered. Their event times follow the
hazards of a posterior draw (the design prior); the study is then analysed with priors of its own (the
analysis prior). The share of studies that meet the rule is the **assurance** (O'Hagan, Stevens & Campbell
2005, doi:10.1002/pst.175). With the slopes set to a truth instead, and all else drawn, it is the **power**,
and without any association the **type I error**.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr, ndtri

from bayes_net.assumptions.hazard import COMMON, PER_ARM, Hazard
from bayes_net.checks.calibrate import NO_ASSOCIATION, seen
from bayes_net.checks.predictive import latent_times
from bayes_net.data.exposure import Exposure, refuse_stretches
from bayes_net.data.gauss import refuse_error
from bayes_net.engine.layout import Layout, layout
from bayes_net.errors import InputError
from bayes_net.inference.closed_form import Parameters, parameters
from bayes_net.schema import ARM, COMMON_SLOPE, LAPLACE, SLOPE

POSTERIOR = "posterior"
"""The truths of assurance; others are hazard ratios, 1 that of ``NO_ASSOCIATION``."""


BELOW, EXCLUDES = "below", "interval excludes"
RULES = (BELOW, EXCLUDES)
NEAR = 0.4
"""Standard normal units around the bar within which the engine decides, and not the mode and curvature."""
_DRAWS = 300


@dataclass(frozen=True)
class Design:
    """A planned study, times in months.

    ``patients`` enter, as many in each arm; of each arm the share ``entering`` is analysed at the landmark,
    ``landmark`` months after entry. ``accrual`` is the time over which they enter, ``follow_up`` that from
    the last entry to the analysis, ``dropout`` a rate per month. The rule is met where the hazard ratio is
    below ``hazard_ratio`` with a probability above ``certainty``; with the rule "interval excludes" also
    where it is above it with that probability.
    """

    patients: int
    accrual: float
    follow_up: float
    landmark: float = 0.0
    entering: tuple[float, ...] = ()
    dropout: float = 0.0
    rule: str = BELOW
    hazard_ratio: float = 1.0
    certainty: float = 0.975

    def __post_init__(self) -> None:
        shares = all(0 < share <= 1 for share in self.entering)
        if not (self.patients >= 2 and self.accrual >= 0 and self.follow_up >= 0 and self.dropout >= 0):
            raise InputError(f"{self} is not usable; expected at least 2 patients and no negative number")
        if not (shares and self.hazard_ratio > 0 and 0.5 < self.certainty < 1 and self.rule in RULES):
            raise InputError(
                f"{self} is not usable; expected shares above 0 to 1, a hazard ratio above 0, a certainty "
                f"between 0.5 and 1, and the rule {' or '.join(map(repr, RULES))}"
            )
        if self.accrual + self.follow_up <= self.landmark:
            raise InputError(
                f"the planned study ends {self.accrual + self.follow_up:g} months after its first patient "
                f"enters, before anybody has reached the landmark at {self.landmark:g}; expected a longer "
                "accrual or follow_up"
            )


def operating_characteristics(
    fit: xr.DataTree,
    data: Exposure,
    designs: Sequence[Design],
    hazard: Hazard | None = None,
    *,
    truths: Sequence[float] = (1.0,),
    studies: int = 500,
    seed: int,
    jobs: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Studies like each of ``designs``, simulated and analysed: one row a study and arm.

    ``fit`` is the posterior of ``data``, of the model ``hazard``, whose priors are those of the analysis.
    Truths are the posterior's and the hazard ratios ``truths``, of one unit of score, with which the hazard
    at the arm's mean score stays as it is. Columns: ``truth``, ``patients``, ``study``, ``arm``,
    ``analysed``, ``events``, ``hr``, the true hazard ratio, ``prob``, the posterior probability of one below
    the design's, ``success``, whether the likelier side is the ``right`` one, and ``method``, what said so:
    "mode" where mode and curvature are far from the bar, or else the engine's "laplace" or "nuts". ``jobs``
    processes give the same.

    Raises
    ------
    InputError
        Slopes vary over time, or there are none.
    """
    hazard = hazard or Hazard()
    refuse_unplannable(data, hazard)
    drawn, shape = parameters(fit["posterior"].to_dataset()), layout([data])
    cells = [(truth, d) for d in designs for truth in (POSTERIOR, *truths)]
    one = partial(_study, drawn, data, hazard, shape, seed=seed)
    todo = [(truth, d, i) for truth, d in cells for i in range(studies)]
    rows = []
    for found in _computed(one, todo, jobs):
        rows += found
        advance()
    return pd.DataFrame(rows)


def refuse_unplannable(data: Exposure, hazard: Hazard) -> None:
    """Refuse what studies cannot be drawn from, which shows before anything is fitted."""
    refuse_stretches(data, "studies of a design")
    refuse_error(data, "studies of a design")
    if hazard.slopes not in (PER_ARM, COMMON):
        raise InputError(
            f"slopes are {hazard.slopes!r}; a rule about one hazard ratio expects {PER_ARM!r} or {COMMON!r}"
        )


def _computed(one: Callable, todo: Sequence[tuple], jobs: int) -> Iterator[list[dict]]:
    if jobs == 1:
        yield from (one(*each) for each in todo)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=jobs, return_as="generator")(delayed(one)(*each) for each in todo)


def _study(
    drawn: Parameters,
    data: Exposure,
    hazard: Hazard,
    shape: Layout,
    truth: str | float,
    design: Design,
    i: int,
    *,
    seed: int,
) -> list[dict]:
    rng = np.random.default_rng([seed, design.patients, i])  # the same patients whatever the truth
    chain, draw = (rng.integers(n) for n in drawn.baseline.shape[:2])
    true = Parameters(*(x[chain : chain + 1, draw : draw + 1] for x in drawn))
    true = true if truth == POSTERIOR else with_slope(true, float(np.log(truth)), data)
    trial = planned(true, data, design, rng)
    ratios = np.exp(true.slope[0, 0, :, 0])
    if trial is None:
        verdicts = [(np.nan, "nobody")] * len(data.arms)
    else:
        verdicts = _verdicts(trial, hazard, shape, design, int(rng.integers(2**31)))
    n, events = (np.zeros(len(data.arms)),) * 2 if trial is None else (trial.n_by_arm, trial.events.sum(1))
    about = {"truth": _label(truth), "patients": design.patients, "study": i}
    return [
        about
        | {ARM: arm, "analysed": int(n[a]), "events": int(events[a]), "hr": float(ratios[a])}
        | {"prob": prob, "success": bool(success(prob, design)), "method": method}
        | {"right": bool((ratios[a] < design.hazard_ratio) == (prob > 0.5))}
        for a, (arm, (prob, method)) in enumerate(zip(data.arms, verdicts, strict=True))
    ]


def named(truth: str) -> str:
    """A truth in tables and figures."""
    return "assurance" if truth == POSTERIOR else truth


def _label(truth: str | float) -> str:
    return truth if isinstance(truth, str) else NO_ASSOCIATION if truth == 1 else f"HR {truth:g}"


def with_slope(true: Parameters, slope: float, data: Exposure) -> Parameters:
    """Other slopes in all arms, with the hazard of each arm at its mean score as it is."""
    mean = np.array([data.score[data.arm == a].mean() for a in range(len(data.arms))])
    moved = true.baseline + (true.slope - slope) * mean[:, None]
    return Parameters(moved, np.full_like(true.slope, slope), true.log_hr)


def planned(true: Parameters, data: Exposure, design: Design, rng: np.random.Generator) -> Exposure | None:
    """The patients of a planned study at its landmark, as they are known at its analysis; None: there are
    none."""
    arms = len(data.arms)
    shares = design.entering or (1.0,) * arms
    each = [design.patients // arms + (a < design.patients % arms) for a in range(arms)]
    reached = [rng.binomial(n, share) for n, share in zip(each, shares, strict=True)]
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(data.arm == a), n) for a, n in enumerate(reached)]
    ).astype(int)
    entry = rng.uniform(0, design.accrual, len(rows))
    censor = design.accrual + design.follow_up - entry - design.landmark
    if design.dropout:
        censor = np.minimum(censor, rng.exponential(1 / design.dropout, len(rows)))
    rows, censor = rows[censor > 0], censor[censor > 0]
    if not len(rows):
        return None
    known = replace(
        data,
        time=censor,
        event=np.zeros(len(rows)),
        arm=data.arm[rows],
        score=data.score[rows],
        covariates=data.covariates[rows],
        last_assessment=None,
        assessed_before=None,
    )
    return seen(known, latent_times(true, known, rng)[0], censor, rng, like=data)


def success(prob: np.ndarray | float, design: Design) -> np.ndarray | bool:
    """Whether the rule is met."""
    met = np.asarray(prob) > design.certainty
    return met | (np.asarray(prob) < 1 - design.certainty) if design.rule == EXCLUDES else met


def _verdicts(
    trial: Exposure, hazard: Hazard, shape: Layout, design: Design, seed: int
) -> list[tuple[float, str]]:
    """Of each arm the probability that the hazard ratio is below the design's, and what says so.

    Mode and curvature of the log density decide where the probability is far from the bar; near it the
    engine does: its Laplace form, where its importance weights allow it, or else its sampler.
    """
    from bayes_net.engine.laplace import mode_and_sd  # loads numba, which reading a result does not need
    from bayes_net.engine.patients import patients_posterior
    from bayes_net.inference.patients import fit
    from bayes_net.inference.sampling import Sampler

    bar, limit = ndtri(design.certainty), np.log(design.hazard_ratio)
    name = COMMON_SLOPE if hazard.slopes == COMMON else SLOPE
    found = mode_and_sd(patients_posterior(trial, hazard, shape=shape), name)
    z = np.full(len(trial.arms), np.nan)
    if found is not None:
        z[:] = (limit - found[0]) / found[1]
    distance = np.abs(np.abs(z) - bar if design.rule == EXCLUDES else z - bar)
    if (distance > NEAR).all():
        return [(float(p), "mode") for p in ndtr(z)]
    sampler = Sampler(draws=_DRAWS, tune=300, chains=4, method=LAPLACE)
    tree = fit(trial, hazard, seed=seed, sampler=sampler, shape=shape, brief=True)
    slopes = tree["posterior"][SLOPE].transpose(ARM, ...).values.reshape(len(trial.arms), -1)
    method = tree.attrs["method"].partition(":")[0]
    return [(float(p), method) for p in (slopes < limit).mean(axis=1)]


def design_summary(studies: pd.DataFrame) -> pd.DataFrame:
    """What ``operating_characteristics`` found, one row a truth, sample size and arm.

    Columns: ``studies``, mean ``analysed`` and ``events``, ``success``, the share that met the rule, its
    Monte-Carlo error ``mcse`` (with no success or nothing else, that of one study in all), and, of truths
    from the posterior, ``right``: the share of successes in whose direction the true hazard ratio is.
    """
    found = []
    for (truth, patients, arm), own in studies.groupby(["truth", "patients", ARM], sort=False):
        n, met = len(own), own["success"]
        share = met.mean()
        found.append(
            {"truth": truth, "patients": patients, ARM: arm, "studies": n}
            | {"analysed": own["analysed"].mean(), "events": own["events"].mean(), "success": share}
            | {"mcse": np.sqrt(max(share * (1 - share), 1 / n) / n)}
            | {"right": own.loc[met, "right"].mean() if truth == POSTERIOR and met.any() else np.nan}
        )
    return pd.DataFrame(found)
