"""Pools to test with, and the synthesis written anew: a log density from the rows, equation by equation.

``Density`` shares no code with the model: it takes rows and patients one by one and knows only the names
of the elements of the model's vectors.
"""

import tomllib
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from equations import Equations
from said import correlations, log_factor, log_statements
from scipy import stats

from bayes_net.assumptions.priors import Fixed
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.engine.synthesis import information, synthesis_posterior
from bayes_net.evidence.table import COLUMNS, read_evidence
from bayes_net.model.predictors import effect_names, scale_names, scaled_by
from bayes_net.specification.read import parse_specification
from bayes_net.workflow.analysis import prepare

MODELS = Path(__file__).resolve().parents[2] / "models"
POOLED = MODELS / "prrt_pooled.toml"
PER_POINT, PER_POINT_PCHG = "per +1 point of shrinkage", "per +1 point of PCHG"
ARMS = ("control", "177Lu")
BLANK = dict.fromkeys(COLUMNS, "") | {
    "arm": ARMS[1],
    "subgroup": "all",
    "endpoint": "pfs",
    "level": "95",
    "use": "likelihood",
    "source": "invented",
    "section": "1",
}


def row(id, statistic, value="", *, study="A", **more) -> dict:
    """A row of an evidence file; numbers may be given as numbers."""
    if statistic in ("hazard ratio", "log effect"):
        more = {"reference_arm": ARMS[0]} | more
    if statistic in ("median", "restricted mean"):
        more = {"unit": "months"} | more
    given = {"id": id, "statistic": statistic, "value": value, "study": study, "cohort_id": study} | more
    texts = {name: repr(float(v)) if isinstance(v, np.floating) else str(v) for name, v in given.items()}
    return BLANK | texts


def ratio(id, log_ratio, se, *, statistic="hazard ratio", **more) -> dict:
    """A ratio with limits, from its log and standard error."""
    low, mid, high = (repr(float(np.exp(log_ratio + k * 1.959963984540054 * se))) for k in (-1, 0, 1))
    return row(id, statistic, mid, lower=low, upper=high, **more)


def log_effect(id, effect, se, **more) -> dict:
    """An effect with its limits on the log scale."""
    low, high = (repr(float(effect + k * 1.959963984540054 * se)) for k in (-1, 1))
    return row(id, "log effect", repr(float(effect)), lower=low, upper=high, **more)


def slope(id, per_point, se, landmark, **more) -> dict:
    """A hazard ratio per point of shrinkage."""
    extra = {"unit": PER_POINT, "landmark": landmark} | more
    return ratio(id, per_point, se, statistic="hazard ratio per point", **extra)


def write(rows, folder: Path, name: str = "rows.csv") -> Path:
    """The rows as an evidence file."""
    path = Path(folder) / name
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def evidence(rows, folder: Path):
    """The rows as evidence."""
    return read_evidence(write(rows, folder))


def assumptions(**more) -> Assumptions:
    """Two arms, study A as the reference, two intervals."""
    return Assumptions(**{"arms": ARMS, "reference": "A", "cuts": (8.0,)} | more)


def specification(changes: dict | None = None, *, where: Path = POOLED):
    """The shipped synthesis with some keys changed, "section.key" or "section"."""
    values = tomllib.loads(POOLED.read_text())
    for name, value in (changes or {}).items():
        *sections, key = name.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
    return parse_specification(values, where=where)


@lru_cache
def prrt():
    """The pool of the shipped synthesis."""
    return prepare(specification()).network


@lru_cache
def feeding_back(network):
    """The same network with single-arm studies that inform the trials."""
    return replace(network, assumptions=replace(network.assumptions, feedback=True))


def z_of(comparisons: int) -> float:
    """How many standard errors ``comparisons`` correct answers exceed by chance once in a thousand times."""
    return stats.norm.isf(0.001 / (2 * comparisons))


# --- the model, evaluated ---------------------------------------------------------------------------


def labels_of(names, network) -> list[tuple]:
    """Name and labels of every element of the vector of effects, or of standard deviations."""
    return [label for name in names(network) for label in product([name], *network.free[name].dims.values())]


class Graph:
    """Log density and gradient of the engine as functions of its vector: effects, then log scales."""

    def __init__(self, network):
        self.posterior = synthesis_posterior(network)
        self.effects, self.scales = labels_of(effect_names, network), labels_of(scale_names, network)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        return self.posterior(x)

    @property
    def size(self) -> int:
        return len(self.effects) + len(self.scales)

    def points(self, count=3, seed=3) -> np.ndarray:
        """Perturbed points."""
        return np.random.default_rng(seed).normal(0.0, 0.5, (count, self.size))

    def gaussian(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of z where the log density is quadratic: one Newton step is exact."""
        assert not self.scales
        start = self(np.zeros(self.size))[1]
        precision = np.array([start - self(e)[1] for e in np.eye(self.size)])
        np.testing.assert_allclose(precision, precision.T, atol=1e-8 * np.abs(precision).max())
        covariance = np.linalg.inv(precision)
        return covariance @ start, covariance


# --- the same, written anew -------------------------------------------------------------------------


def sigmoid_logs(x):
    """log p and log (1 - p) of a logit."""
    return -np.log1p(np.exp(-x)), -np.log1p(np.exp(x))


def direction(size: int, rng: np.random.Generator) -> np.ndarray:
    """A direction along which to compare gradients, in which every variable has a part of 1 to 2: one slope
    that is wrong is off by its whole error at least, and errors of several cancel along none of a few."""
    return rng.choice([-1.0, 1.0], size) * rng.uniform(1.0, 2.0, size)


class Density:
    """Unnormalised log posterior of the model's vectors, from rows and patients one by one.

    ``patients`` are (study, endpoint, weight, table with columns arm, time, event), ``stacked`` those at a
    landmark: (study, endpoint, its label, cuts, weight, table with columns arm, time, event, shrinkage).
    """

    def __init__(self, network, graph, *, patients=(), stacked=()):
        self.network = network
        self.a, self.rows, self.data = network.assumptions, list(network.rows.itertuples()), network.data
        self.power, self.patients, self.stacked = network.power, patients, stacked
        self.labels, self.scales = graph.effects, graph.scales
        self.own = {self.a.reference, *self.a.own_baseline}
        self.by = scaled_by(network)[:, None] == np.arange(len(graph.scales))
        self.information = information(network)

    def __call__(self, x):
        self.sd = dict(zip(self.scales, np.exp(x[len(self.labels) :]), strict=True))
        # the model samples z times c; which c is its own affair, and the rest is exact for any
        self.c = self.by @ np.exp(x[len(self.labels) :]) if self.scales else np.zeros(len(self.labels))
        self.c = np.sqrt(1.0 + self.c**2 * self.information)
        self.z = dict(zip(self.labels, x[: len(self.labels)] / self.c, strict=True))
        numbers = self.normal_rows() + self.said() + self.other_rows()
        return self.prior() + numbers + self.followed() + self.landmarked()

    def gradient(self, x):
        """By the complex step, which has no truncation and no cancellation error."""
        steps = 1e-30j * np.eye(len(x))
        return np.array([self(x + step).imag / 1e-30 for step in steps])

    def slope_along(self, x, along):
        """The same, along a direction."""
        return self(x + 1e-30j * along).imag / 1e-30

    # priors

    def prior(self):
        total = -np.log(self.c).sum()
        for label, z in self.z.items():
            name = label[0]
            if name == "study_level" and self.a.study_level.mixes:
                b, value = self.a.study_level, self.a.study_level.sd * z
                wide = (1 - b.weight) / b.vague_sd * np.exp(-0.5 * (value / b.vague_sd) ** 2)
                total += np.log(b.weight / b.sd * np.exp(-0.5 * (value / b.sd) ** 2) + wide)
            else:
                total += -0.5 * z**2
        for label, sd in self.sd.items():
            scale = self.scale_of(label[0])
            total += np.log(sd) - 0.5 * (sd / scale) ** 2  # the first is the Jacobian of sampling log sd
        return total

    def scale_of(self, name):
        a = self.a
        return {
            "step_sd": a.step_sd.sd,
            "landmark_step_sd": a.step_sd.sd,
            "arm_effect_sd": getattr(a.arm_heterogeneity, "sd", None),
            "response_difference_sd": a.response.sd,
            "study_level_sd": a.study_level.sd,
            "shrinkage_study_sd": a.shrinkage_between.sd,
            "slope_sd": a.slopes.heterogeneity.sd,
            "slope_between_sd": getattr(a.slopes.between_studies, "sd", None),
        }[name]

    def effect(self, prior, *label):
        return prior.mean + prior.sd * self.z[label]

    # quantities

    def walk(self, names, label, cuts):
        """Log hazard by interval: a random walk in years whose average over time is the level."""
        widths = np.diff([0.0, *cuts])
        widths = np.append(widths, widths[-1:] if len(cuts) else [1.0])
        level = self.effect(self.a.level, names[0], label)
        steps = [
            self.sd[f"{names[1]}_sd", label]
            * self.z[names[1], label, k]
            * np.sqrt((widths[k] + widths[k + 1]) / 24)
            for k in range(len(cuts))
        ]
        path = np.concatenate([[0.0], np.cumsum(steps)])
        return level + path - (path @ widths) / widths.sum()

    def arm_effect(self, endpoint, study):
        value = self.effect(self.a.arm_effect, "arm_effect_mean", endpoint)
        label = ("arm_effect_z", (endpoint, study))
        if label in self.z:
            known = isinstance(self.a.arm_heterogeneity, Fixed)
            sd = self.a.arm_heterogeneity.value if known else self.sd["arm_effect_sd", endpoint]
            value = value + sd * self.z[label]
        return value

    def log_hazard(self, endpoint, study, arm):
        base = study if study in self.own else self.a.reference
        if self.a.smoothing == "independent":
            value = np.array(
                [
                    self.effect(self.a.level, "log_baseline", (endpoint, base), k)
                    for k in range(len(self.a.cuts) + 1)
                ]
            )
        else:
            value = self.walk(("level", "step"), (endpoint, base), self.a.cuts)
        if arm != self.a.arms[0]:
            value = value + self.arm_effect(endpoint, base)
        if study != base:
            value = value + self.a.study_level.sd * self.z["study_level", (endpoint, study)]
        return value

    def log_cumulative(self, endpoint, study, arm, time):
        edges = np.array([0.0, *self.a.cuts, np.inf])
        spent = np.clip(time, edges[:-1], edges[1:]) - edges[:-1]
        return np.log(np.exp(self.log_hazard(endpoint, study, arm)) @ spent)

    def restricted_mean(self, endpoint, study, arm, horizon):
        """Interval by interval: survival at its start, times the mean time spent in it."""
        total, cumulative, start = 0.0, 0.0, 0.0
        ends = [min(cut, horizon) for cut in (*self.a.cuts, np.inf)]
        for end, h in zip(ends, np.exp(self.log_hazard(endpoint, study, arm)), strict=True):
            total += np.exp(-cumulative) * (1.0 - np.exp(-h * (end - start))) / h
            cumulative, start = cumulative + h * (end - start), end
        return total

    def slope(self, endpoint, arm, landmark):
        """A Gaussian process over log landmark time, "no limit" by itself."""
        s, marks = self.a.slopes, self.a.landmarks
        labels = [mark.label for mark in marks]
        log_t = np.array([np.nan if mark.biased else np.log(mark.months) for mark in marks])
        kernel = s.level + (1 - s.level) * np.exp(-((log_t[:, None] - log_t) ** 2) / (2 * s.length**2))
        kernel = np.where(np.isnan(kernel), np.eye(len(marks)), kernel)
        z = np.array([self.z["slope_z", endpoint, arm, label] for label in labels])
        factor = np.linalg.cholesky(kernel + 1e-10 / s.prior.sd**2 * np.eye(len(marks)))
        return s.prior.mean + s.prior.sd * factor[labels.index(landmark)] @ z

    # rows

    def location(self, row, datum):
        """What a row is expected to be, by its kind."""
        curve = (row.endpoint, row.study, row.arm)
        return {
            "survival": lambda: self.log_cumulative(*curve, row.time),
            "median": lambda: self.log_cumulative(*curve, datum.time),
            "restricted mean": lambda: self.restricted_mean(*curve, row.time),
            "hazard ratio": lambda: self.arm_effect(row.endpoint, row.study),
            "log effect": lambda: self.arm_effect(row.endpoint, row.study),
            "log effect with SE": lambda: self.arm_effect(row.endpoint, row.study),
            "hazard ratio per point": lambda: self.printed_slope(row),
            "odds ratio": lambda: self.laws().completion(row),
        }[row.statistic]()

    def printed_slope(self, row):
        value = self.slope(row.endpoint, row.arm, row.landmark)
        if row.landmark == "no limit" and row.arm in self.a.bias:
            mean, sd = self.a.bias[row.arm]
            z = self.z["bias_z", (row.endpoint, row.arm)]
            value = value + 10 * self.a.bias_scale * (mean + sd * z)
        return value

    def standard_error(self, datum):
        factor = np.exp(np.log(1.15) + 0.2 * self.z["log_inflation", datum.id]) if datum.inflated else 1.0
        return datum.se * factor

    def normal_rows(self):
        used = [i for i, d in enumerate(self.data) if d.kind == "normal" and self.power[i] > 0]
        if not used:
            return 0.0
        residual = np.array([self.data[i].value - self.location(self.rows[i], self.data[i]) for i in used])
        se = np.array([self.standard_error(self.data[i]) for i in used])
        power = self.power[used]
        root = np.sqrt(power)
        precision = root[:, None] * np.linalg.inv(self.correlation(used)) * root
        z = residual / se
        return -0.5 * z @ (precision @ z) - power @ np.log(se)

    def correlation(self, used):
        return correlations(self.rows, self.data, used)

    def said(self):
        order = list(self.network.statements.rows)
        kept = [i for i, d in enumerate(self.data) if d.kind == "normal" and self.power[i] > 0]
        if not order:
            return 0.0
        z = [
            (self.data[i].value - self.location(self.rows[i], self.data[i]))
            / self.standard_error(self.data[i])
            for i in kept
        ]
        location = {i: self.location(self.rows[i], self.data[i]) for i in order}
        se = {}
        for i in order:
            d = self.data[i]
            factor = log_factor(self.network, d.id, lambda id: self.z["se_z", id])
            se[i] = d.se * np.exp(d.se_tilt * location[i] + factor)
        e = {i: self.z["estimate_z", self.data[i].id] for i in order}
        z = np.array(z) * np.sqrt(self.power[kept])
        R = self.correlation([*kept, *order])
        return log_statements(self.data, order, kept, z, R, location, se, self.power, e)

    def other_rows(self):
        total = 0.0
        for row, datum, power in zip(self.rows, self.data, self.power, strict=True):
            if datum.kind == "student":
                u = (datum.value - self.location(row, datum)) / datum.se
                total += power * -2.5 * np.log1p(u**2 / 4)
            elif row.endpoint == "response":
                yes, no = sigmoid_logs(self.response(row))
                total += power * (datum.successes * yes + (datum.n - datum.successes) * no)
        return total + self.shrunk()

    def response(self, row):
        group = (row.study, row.arm)
        if row.arm != self.a.arms[-1]:
            return self.effect(self.a.response_probability, "response_alone", group)
        mean = self.effect(self.a.response_probability, "response_mean")
        sd = self.sd["response_difference_sd",]
        return mean + sd * self.z["response_difference_z", group]

    def shrunk(self):
        """Counts of shrinkage, and medians with ranges."""
        laws, total = self.laws(), 0.0
        for row, datum, power in zip(self.rows, self.data, self.power, strict=True):
            if row.endpoint == "shrinkage" and power > 0:
                total += power * (laws.ordered(row) if datum.kind == "ordered" else laws.shrunk(row, datum))
        return total

    def laws(self):
        """The laws of best shrinkage at these values."""
        named = {
            "selection": self.a.selection, "progression": self.a.progression, "early_late": self.a.early_late
        }  # fmt: skip
        free = {}
        for name, own in self.network.free.items():
            places = list(product([name], *own.dims.values()))
            if name == "shrinkage_study_sd":
                free[name] = self.sd[name,]
            elif name in named or name.startswith("shrinkage"):
                z = np.array([self.z[place] for place in places]).reshape(own.shape)
                free[name] = named[name].mean + named[name].sd * z if name in named else z
        return Equations(self.network, free)

    # patients

    def followed(self):
        total = 0.0
        for study, endpoint, weight, table in self.patients:
            for patient in table.itertuples():
                log_h = self.log_hazard(endpoint, study, patient.arm)
                interval = sum(patient.time > cut for cut in self.a.cuts)
                cumulative = np.exp(self.log_cumulative(endpoint, study, patient.arm, patient.time))
                total += weight * (patient.event * log_h[interval] - cumulative)
        return total

    def landmarked(self):
        total = 0.0
        for study, endpoint, label, cuts, weight, table in self.stacked:
            edges = np.array([0.0, *cuts, np.inf])
            by_arm = {arm: self.stratum(study, endpoint, arm, label, cuts) for arm in self.a.arms}
            for patient in table.itertuples():
                log_h, slope = by_arm[patient.arm]
                score = slope * patient.shrinkage / 10
                spent = np.clip(patient.time, edges[:-1], edges[1:]) - edges[:-1]
                at = sum(patient.time > cut for cut in cuts)
                total += weight * (
                    patient.event * (log_h[at] + score) - np.exp(score) * (np.exp(log_h) @ spent)
                )
        return total

    def stratum(self, study, endpoint, arm, label, cuts):
        slope = self.slope(endpoint, arm, label)
        if len(self.stacked) > 1:
            sd = self.sd["slope_between_sd",]
            slope = slope + sd * self.z["slope_study_z", (endpoint, study, arm)]
        return self.walk(("landmark_level", "landmark_step"), (endpoint, study, arm), cuts), slope


# --- draws against exact answers ----------------------------------------------------------------------


def moments(x: np.ndarray) -> dict:
    """Mean and SD of draws (chain, draw), each with its Monte-Carlo standard error."""
    squares = (x - x.mean()) ** 2
    sd_error = array_stats.mcse(squares, method="mean") / (2 * x.std())
    return {"mean": (x.mean(), array_stats.mcse(x, method="mean")), "sd": (x.std(ddof=1), sd_error)}


def found(x: np.ndarray, expected: dict) -> dict:
    """The statistics of draws (chain, draw) that ``expected`` has: mean, sd, and quantiles by probability."""
    known = moments(x)
    for prob in expected.keys() - {"mean", "sd"}:
        known[prob] = (np.quantile(x, prob), array_stats.mcse(x, method="quantile", prob=prob))
    return {name: known[name] for name in expected}


def assert_exact(answers: dict) -> None:
    """Every (draws, {statistic: exact}) within what Monte-Carlo error explains, all taken together."""
    deviations = {
        (name, statistic): abs(value - expected[statistic]) / error
        for name, (x, expected) in answers.items()
        for statistic, (value, error) in found(x, expected).items()
    }
    worst = max(deviations, key=deviations.get)
    assert deviations[worst] < z_of(len(deviations)), (worst, deviations[worst])


def assert_same(pairs: dict) -> None:
    """Means and SDs of two independent sets of draws differ by no more than their Monte-Carlo errors."""
    deviations = {}
    for name, (one, other) in pairs.items():
        for statistic, (value, error) in moments(one).items():
            second, second_error = moments(other)[statistic]
            deviations[name, statistic] = abs(value - second) / np.hypot(error, second_error)
    worst = max(deviations, key=deviations.get)
    assert deviations[worst] < z_of(len(deviations)), (worst, deviations[worst])
