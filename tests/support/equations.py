"""The synthesis written anew, with names: the log density of every term, from rows and patients one by one.

It shares no code with the models. Everything is analytic but for constants, so that values may be complex.
"""

import numpy as np
from said import correlation, correlations, log_factor, log_statements
from scipy import special, stats

from bayes_net.assumptions.priors import Borrowing, Fixed, HalfCauchy, HalfNormal, Normal
from bayes_net.data.landmarks import landmark_times

KINDS = {
    "curves": ("survival", "median", "restricted mean"),
    "arm_effects": ("hazard ratio", "log effect"),
    "slopes": ("hazard ratio per point",),
    "completion": ("odds ratio",),
}
"""Statistics of the kinds of published numbers that are normal."""
COUNTED = {
    "published_responses": ("response", "count"),
    "published_shrinkage": ("shrinkage", "count"),
    "published_ranges": ("shrinkage", "median and range"),
}
"""Endpoint and statistic of those that are of patients."""


def normal(x, mean, sd):
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def log_prior(x, prior):
    """Log density of every element; ``x`` may be complex."""
    if isinstance(prior, Borrowing):
        parts = [w * np.exp(normal(x, 0, sd))
                 for w, sd in ((prior.weight, prior.sd), (1 - prior.weight, prior.vague_sd))]  # fmt: skip
        return np.log(parts[0] + parts[1])
    if isinstance(prior, HalfCauchy):
        # PyMC takes the logarithm of 2 to seven digits
        log_2 = np.log(np.float32(2.0)).astype(float)
        return log_2 - np.log(np.pi * prior.scale) - np.log(1 + (x / prior.scale) ** 2)
    if isinstance(prior, HalfNormal):
        return np.log(2) + normal(x, 0, prior.sd)
    return normal(x, prior.mean, prior.sd) if isinstance(prior, Normal) else 0 * x


def walk(level, sd, step, cuts) -> np.ndarray:
    """A random walk in years around ``level``, its average over time; the last dim is the interval."""
    widths = np.diff([0.0, *cuts])
    widths = np.append(widths, widths[-1])
    steps = sd[..., None] * step * np.sqrt((widths[:-1] + widths[1:]) / 24)
    path = np.concatenate([np.zeros_like(steps[..., :1]), np.cumsum(steps, axis=-1)], axis=-1)
    return level[..., None] + path - (path @ widths)[..., None] / widths.sum()


class Equations:
    """The terms of a synthesis from its rows and patients, one by one."""

    def __init__(self, network, free):
        self.network, self.a, self.free = network, network.assumptions, free
        self.rows = list(zip(network.rows.itertuples(), network.data, network.power, strict=True))

    def of(self, name, *labels):
        dims = self.network.free[name].dims.values()
        return self.free[name][tuple(own.index(label) for own, label in zip(dims, labels, strict=True))]

    def terms(self, names) -> dict:
        """Of each of these names, which are a model's."""
        found = {name: self.term(name) for name in names}
        published = [name for name in names if name.startswith("published") and "_power" not in name]
        seen = [i for name in published for i in self.used(name)]
        numbers = [i for i, (_, d, power) in enumerate(self.rows) if power > 0 and d.kind != "said"]
        assert sorted(seen) == numbers
        return found

    def term(self, name):
        if name in self.free:
            assert np.shape(self.free[name]) == self.network.free[name].shape
            return log_prior(self.free[name], self.network.free[name].prior).sum()
        if name == "statements":
            return self.statements()
        if name.endswith("_power"):
            return self.power_term(name.removesuffix("_power"))
        if name == "patients_of_curves":
            return sum(value for value, _ in self.curve_cells())
        if name == "patients_after_landmark":
            return sum(value for value, _ in self.stacked())
        return sum(self.numbers(name))

    def power_term(self, name):
        """What a power other than 1 adds to a term."""
        if name.startswith("patients"):
            cells = self.curve_cells() if name == "patients_of_curves" else self.stacked()
            return sum((weight - 1) * value for value, weight in cells)
        rows = [self.rows[i] for i in self.used(name)]
        if rows[0][1].kind == "normal":
            return sum((1 - power) * self.of("log_inflation", d.id) for _, d, power in rows if d.inflated)
        return sum((power - 1) * value for (_, _, power), value in zip(rows, self.numbers(name), strict=True))

    def statements(self):
        """Log probability of what is said of estimates that are not printed."""
        order = [i for i in self.network.statements.rows]
        kept = [i for i, (_, d, p) in enumerate(self.rows) if p > 0 and d.kind == "normal"]
        rows, data, power = zip(*self.rows, strict=True)

        z = [
            (data[i].value - self.location(rows[i], data[i])) / self.se(data[i]) * np.sqrt(power[i])
            for i in kept
        ]
        location = {i: self.location(rows[i], data[i]) for i in order}
        se = {i: self.se(data[i]) * np.exp(data[i].se_tilt * location[i]) for i in order}
        e = {i: self.of("estimate_z", data[i].id) for i in order}
        R = correlations(rows, data, [*kept, *order])
        return log_statements(data, order, kept, z, R, location, se, power, e)

    def se(self, d):
        """Standard error as it is, without its power."""
        factor = self.of("log_inflation", d.id) if d.inflated else 0.0
        return d.se * np.exp(factor + log_factor(self.network, d.id, lambda id: self.of("se_z", id)))

    def used(self, name) -> list[int]:
        """The places of the rows of a term."""
        used = [i for i, (_, _, power) in enumerate(self.rows) if power > 0]
        if name == "published_completion_by_p":
            return [i for i in used if self.rows[i][1].kind == "student"]
        if name in COUNTED:
            of = COUNTED[name]
            return [i for i in used if (self.rows[i][0].endpoint, self.rows[i][0].statistic) == of]
        kinds = [kind for part in name.split("_and_") for kind in KINDS[part.removeprefix("published_")]]
        return [i for i in used if self.rows[i][0].statistic in kinds and self.rows[i][1].kind == "normal"]

    def numbers(self, name) -> list:
        rows = [self.rows[i] for i in self.used(name)]
        if name == "published_completion_by_p":
            return [self.student(r, d) for r, d, _ in rows]
        if name == "published_ranges":
            return [self.ordered(r) for r, _, _ in rows]
        if name == "published_responses":
            return [binomial(d.successes, d.n, *self.response(r)) for r, d, _ in rows]
        if name == "published_shrinkage":
            return [self.shrunk(r, d) for r, d, _ in rows]
        return [self.jointly_normal(rows)]

    def jointly_normal(self, rows):
        residual = np.array([d.value - self.location(r, d) for r, d, _ in rows])
        factor = [np.exp(self.of("log_inflation", d.id)) if d.inflated else 1.0 for _, d, _ in rows]
        se = np.array([d.se / np.sqrt(p) for _, d, p in rows]) * factor
        matrix = self.correlation(rows)
        z = residual / se
        constant = np.linalg.slogdet(matrix)[1] + len(z) * np.log(2 * np.pi)
        return -0.5 * z @ np.linalg.solve(matrix, z) - np.log(se).sum() - 0.5 * constant

    def correlation(self, rows):
        data, matrix = {d.id: d for _, d, _ in rows}, np.eye(len(rows))
        for i, (one, _, _) in enumerate(rows):
            partners = zip(one.correlated_with.split(";"), one.correlation.split(";"), strict=True)
            for partner, value in partners:
                if partner in data:
                    j = list(data).index(partner)
                    pair = (one, data[one.id]), (rows[j][0], data[partner])
                    matrix[i, j] = matrix[j, i] = correlation(value, *pair)
        return matrix

    def location(self, r, d):
        if r.statistic in ("survival", "median"):
            edges = np.array([0.0, *self.a.cuts, np.inf])
            spent = np.clip(d.time, edges[:-1], edges[1:]) - edges[:-1]
            return np.log(np.exp(self.log_hazard(r.endpoint, r.study, r.arm)) @ spent)
        if r.statistic == "restricted mean":
            return self.restricted_mean(r.time, np.exp(self.log_hazard(r.endpoint, r.study, r.arm)))
        if r.statistic == "odds ratio":
            return self.completion(r)
        if r.statistic in ("hazard ratio", "log effect"):
            return self.arm_effect(r.endpoint, r.study)
        value = self.slope(r.endpoint, r.arm, r.landmark)
        if r.landmark == "no limit" and r.arm in self.a.bias:
            mean, sd = self.a.bias[r.arm]
            value = value + 10 * self.a.bias_scale * (mean + sd * self.of("bias_z", (r.endpoint, r.arm)))
        return value

    def restricted_mean(self, horizon, hazard):
        """Interval by interval: survival at its start, times the mean time spent in it."""
        total, alive, start = 0.0, 1.0, 0.0
        for end, h in zip((min(cut, horizon) for cut in (*self.a.cuts, np.inf)), hazard, strict=True):
            passed = np.exp(-h * (end - start))
            total, alive, start = total + alive * (1.0 - passed) / h, alive * passed, end
        return total

    def arm_effect(self, endpoint, study):
        value = self.of("arm_effect_mean", endpoint)
        if "arm_effect_z" in self.free:
            prior = self.a.arm_heterogeneity
            sd = prior.value if isinstance(prior, Fixed) else self.of("arm_effect_sd", endpoint)
            value = value + sd * self.of("arm_effect_z", (endpoint, study))
        return value

    def difference(self, name, rule, label):
        if rule.kind == "full":
            return 0.0
        if rule.kind == "exchangeable":
            return self.of(f"{name}_sd") * self.of(f"{name}_z", label)
        return self.of(name, label)

    def log_hazard(self, endpoint, study, arm):
        base = study if study in (self.a.reference, *self.a.own_baseline) else self.a.reference
        at = self.network.baselines.index((endpoint, base))
        if self.a.smoothing == "independent":
            value = self.free["log_baseline"][at]
        elif self.a.cuts:
            value = walk(*(self.free[n][at] for n in ("level", "step_sd", "step")), self.a.cuts)
        else:
            value = self.free["level"][at, None]
        if arm != self.a.arms[0]:
            own = study if (endpoint, study) in self.network.effects else base
            if (endpoint, own) in self.network.effects:
                value = value + self.arm_effect(endpoint, own)
        if study != base:
            value = value + self.difference("study_level", self.a.study_level, (endpoint, study))
        return value

    def slope(self, endpoint, arm, landmark):
        s, marks = self.a.slopes, self.a.landmarks
        group, labels = (endpoint, arm), [mark.label for mark in marks]
        if s.structure in ("exchangeable", "tracking"):
            z = self.of("slope_z", *group, landmark)
            share = s.carried[arm][landmark] if s.structure == "tracking" else 1.0
            return share * self.of("slope_mean", *group) + self.of("slope_sd", *group) * z
        log_t = np.array([np.nan if mark.biased else np.log(mark.months) for mark in marks])
        kernel = s.level + (1 - s.level) * np.exp(-((log_t[:, None] - log_t) ** 2) / (2 * s.length**2))
        kernel = np.where(np.isnan(kernel), np.eye(len(marks)), kernel)
        kernel = kernel if s.structure == "gaussian process" else np.eye(len(marks))
        factor = np.linalg.cholesky(s.prior.sd**2 * kernel + 1e-10 * np.eye(len(marks)))
        z = np.array([self.of("slope_z", *group, label) for label in labels])
        return s.prior.mean + factor[labels.index(landmark)] @ z

    def student(self, r, d):
        u = (d.value - self.completion(r)) / d.se
        return stats.t.logpdf(0.0, 4) - np.log(d.se) - 2.5 * np.log1p(u**2 / 4)

    def law(self, study, arm, label, share=1.0):
        """Location and spread of the logit of best shrinkage by a landmark, among the upper ``share`` of a
        variable that it is correlated with."""
        dims = self.network.free["shrinkage_location_z"].dims
        labels, at = dims["shrinkage_time"], dims["shrinkage_arm"].index(arm)
        months = [24.0 if mark == "no limit" else landmark_times([mark])[0].months for mark in labels]
        distance = np.subtract.outer(np.log(months), np.log(months)) / self.a.shrinkage_length
        kernel = self.a.shrinkage_level + (1 - self.a.shrinkage_level) * np.exp(-(distance**2) / 2)
        row = np.linalg.cholesky((kernel + 1e-10 * np.eye(len(months))) / (1 + 1e-10))[labels.index(label)]
        location, log_spread = (
            prior.mean + prior.sd * (row @ self.free[f"shrinkage_{name}_z"][at])
            for name, prior in (
                ("location", self.a.shrinkage_location), ("log_spread", self.a.shrinkage_log_spread)
            )
        )  # fmt: skip
        shared = self.network.free.get("shrinkage_study_z")
        if shared and (study, arm) in shared.dims["shrinkage_study"]:
            location = location + self.of("shrinkage_study_sd") * self.of("shrinkage_study_z", (study, arm))
        spread = np.exp(log_spread)
        if share < 1:
            cut, rho = stats.norm.isf(share), np.tanh(self.of("selection", arm))
            mean, variance = stats.truncnorm(cut, np.inf).stats("mv")
            location, spread = location + rho * mean * spread, spread * np.sqrt(1 - rho**2 * (1 - variance))
        return location, spread

    def completion(self, r):
        """Log odds ratio of two jointly normal places, by quadrature of the conditional probability."""
        start = special.logit(50 / 120)
        laws = (self.law(r.study, r.arm, label) for label in (r.landmark or "16 w", "no limit"))
        early, late = ((start - location) / spread for location, spread in laws)
        return log_odds(early, late, np.tanh(self.of("early_late")))

    def ordered(self, r):
        """n! / (h!)^2 f(a) f(m) f(b) [F(m) - F(a)]^h [F(b) - F(m)]^h, h = (n - 3) / 2; of places."""
        sign = -1.0 if "PCHG" in r.unit else 1.0
        shrinkage = sorted(sign * np.array([r.lower, r.value, r.upper]))
        location, spread = self.law(r.study, r.arm, r.landmark or "no limit", r.n / self.evaluable(r))
        u = [(special.logit((x + 20) / 120) - location) / spread for x in shrinkage]
        below = [0.5 * special.erfc(-x / np.sqrt(2)) for x in u]
        half = (r.n - 3) / 2
        total = special.gammaln(r.n + 1) - 2 * special.gammaln(half + 1)
        total = total + sum(normal(x, 0, 1) for x in u) - 3 * np.log(spread)
        return total + half * (np.log(below[1] - below[0]) + np.log(below[2] - below[1]))

    def evaluable(self, r):
        """The most patients without progression that any row of the group is of."""
        same = [(o, d) for o, d, _ in self.rows
                if o.endpoint == "shrinkage" and (o.study, o.arm) == (r.study, r.arm)]  # fmt: skip
        return max(self.without_progression(o, d, same) for o, d in same)

    def without_progression(self, r, d, same):
        lowest = [od for o, od in same if o.threshold == -20 and o.landmark == r.landmark]
        return lowest[0].successes if lowest else d.n

    def response(self, r):
        group = (r.study, r.arm)
        if r.arm != self.a.arms[-1]:
            logit = self.of("response_alone", group)
        else:
            logit = self.of("response_mean")
            logit = logit + self.difference("response_difference", self.a.response, group)
        return 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))

    def shrunk(self, r, d):
        """Of the patients below the next higher threshold, or with progression, how many reach this one."""
        group = (r.study, r.arm, r.landmark)
        same = [(o, od) for o, od, _ in self.rows if o.endpoint == "shrinkage" and o.statistic == "count"
                and (o.study, o.arm, o.landmark) == group]  # fmt: skip
        share = self.without_progression(r, d, same) / self.evaluable(r)
        law, worse = self.law(r.study, r.arm, r.landmark or "no limit", share), 0.0
        if any(o.threshold == -20 for o, _ in same):
            worse = 1 / (1 + np.exp(-self.of("progression", (r.study, r.arm, r.landmark or "no limit"))))
        used = [self.rows[i][:2] for i in self.used("published_shrinkage")]
        others = [
            (o.threshold, od.successes)
            for o, od in used
            if (o.study, o.arm, o.landmark) == group and o.threshold > r.threshold
        ]
        following, beyond = min(others, default=(100.0, 0))
        whole, own = (
            worse + (1 - worse) * share_below(x, *law) if x < 100 else 1.0 for x in (following, r.threshold)
        )
        return binomial(d.successes - beyond, d.n - beyond, (whole - own) / whole, own / whole)

    def curve_cells(self):
        for cohort in self.network.cohorts:
            for a, arm in enumerate(self.a.arms):
                if cohort.person_time[a].any() and cohort.weight:
                    log_h = self.log_hazard(cohort.endpoint, cohort.study, arm)
                    for d, months, at in zip(cohort.events[a], cohort.person_time[a], log_h, strict=True):
                        if months:
                            value = d * (np.log(months) + at) - months * np.exp(at) - special.gammaln(d + 1)
                            yield value, cohort.weight

    def stacked(self):
        """Patients after their landmark: event * (log h + log of months in the last interval) - H."""
        cohorts = [cohort for cohort in self.network.cohorts if cohort.exposure is not None]
        for cohort in cohorts:
            data = cohort.exposure
            edges = np.array([0.0, *data.cuts, np.inf])
            for time, event, a, score in zip(data.time, data.event, data.arm, data.score, strict=True):
                stratum = (cohort.endpoint, cohort.study, self.a.arms[a])
                at = self.network.free["landmark_level"].dims["stratum"].index(stratum)
                names = ("landmark_level", "landmark_step_sd", "landmark_step")
                log_h = walk(*(self.free[name][at] for name in names), data.cuts)
                slope = self.slope(cohort.endpoint, self.a.arms[a], cohort.landmark)
                if len(cohorts) > 1:
                    slope = slope + self.of("slope_between_sd") * self.of("slope_study_z", stratum)
                spent, k = np.clip(time, edges[:-1], edges[1:]) - edges[:-1], sum(time > data.cuts)
                log_h = log_h + slope * score
                yield event * (log_h[k] + np.log(spent[k])) - np.exp(log_h) @ spent, cohort.weight


def binomial(k, n, chance, otherwise):
    choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return choose + k * np.log(chance) + (n - k) * np.log(otherwise)


NODES = np.polynomial.legendre.leggauss(400)


def log_odds(early, late, rho):
    """Of the first of two standard normals above ``early`` and the second above ``late``."""

    def both(from_, sign):
        """P(first above ``from_`` to the right, second above ``late``), of the first times ``sign``."""
        x = from_ + 6.0 * (NODES[0] + 1)
        u = (late - sign * rho * x) / np.sqrt(1 - rho**2)
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        each = 6.0 * NODES[1] * density
        return each @ (0.5 * special.erfc(u / np.sqrt(2))), each @ (0.5 * special.erfc(-u / np.sqrt(2)))

    (p11, p10), (p01, p00) = both(early, 1), both(-early, -1)
    p11, p10, p01, p00 = (p + 1e-6 for p in (p11, p10, p01, p00))  # as they are defined
    return np.log(p11) + np.log(p00) - np.log(p10) - np.log(p01)


def share_below(points, location, spread):
    """P(best shrinkage < points): the logit of its place between -20 and 100 is normal."""
    if points <= -20:
        return 0.0
    u = (special.logit((points + 20) / 120) - location) / spread
    return 0.5 * special.erfc(-u / np.sqrt(2))
