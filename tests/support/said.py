"""What is said of estimates that are not printed, written anew: each given those before it, by conditional
normal distributions. Everything is analytic, for derivatives by the complex step."""

import numpy as np
from scipy import special


def correlation(declared, one, other):
    """Correlation of the errors of two numbers, each a row with its datum."""
    if declared == "curve":
        early, late = sorted((one[1], other[1]), key=lambda d: d.time)
        h, se = np.exp([early.value, late.value]), np.array([early.se, late.se])
        by_late = (se[1] * h[1]) ** 2 * np.expm1(h[0]) / np.expm1(h[1])
        return min((se[0] * h[0]) ** 2, by_late) / h.prod() / se.prod()
    if declared == "arms":
        return of_arms(*sorted((one, other), key=lambda pair: pair[1].time > 0))
    return float(declared)


def of_arms(ratio, point):
    """Of a log hazard ratio and log H of the control curve, from the treated arm's share of the hazard at
    risk, k e^{(1 - r) H} / (1 + k e^{(1 - r) H}), averaged in closed form."""
    (row, effect), (curve, at) = ratio, point
    assert curve.arm == row.reference_arm
    r, h = np.exp(effect.value), np.exp(at.value)
    k = r * (row.n - curve.n) / curve.n
    share = np.log((1 + k * np.exp((1 - r) * h)) / (1 + k)) / ((1 - r) * h)
    return -share * effect.se / (at.se * (1.15 if at.inflated else 1.0))


def correlations(rows, data, used) -> np.ndarray:
    """Declared correlations of these rows."""
    place, matrix = {rows[i].id: n for n, i in enumerate(used)}, np.eye(len(used))
    for i in used:
        row = rows[i]
        for partner, value in zip(row.correlated_with.split(";"), row.correlation.split(";"), strict=True):
            if partner in place:
                a, b = place[row.id], place[partner]
                number = correlation(value, (row, data[i]), (rows[used[b]], data[used[b]]))
                matrix[a, b] = matrix[b, a] = number
    return matrix


def log_factors(rows, data, power) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids of the estimates whose standard errors are uncertain, and the law of the logs of the factors on
    these given those that are in print: mean and covariance, by the precision matrix of all of them."""
    own = [i for i, d in enumerate(data) if d.kind == "said" and d.log_se_sd > 0]
    known = [
        i for i, d in enumerate(data) if d.kind == "normal" and power[i] > 0 and np.isfinite(d.se_excess)
    ]
    precision, n = np.linalg.inv(correlations(rows, data, [*own, *known])), len(own)
    covariance = np.linalg.inv(precision[:n, :n])
    mean = -covariance @ precision[:n, n:] @ np.array([data[i].se_excess for i in known])
    sd = np.array([data[i].log_se_sd for i in own])
    return [data[i].id for i in own], sd * mean, sd * (sd * covariance).T


def log_factor(network, id, z):
    """The log of the factor on one standard error, from the standard normal ``z`` of each, by id."""
    ids, mean, covariance = log_factors(list(network.rows.itertuples()), network.data, network.power)
    if id not in ids:
        return 0.0
    root = np.linalg.cholesky(covariance)[ids.index(id)]
    return mean[ids.index(id)] + sum(by * z(name) for by, name in zip(root, ids, strict=True) if by)


def quantile(log_p):
    """Where a standard normal has this log probability below; Newton's method from the nearest real one."""
    u = special.ndtri_exp(np.real(log_p)) + 0 * log_p
    for _ in range(3):
        at = special.log_ndtr(u)
        u = u - (at - log_p) * np.exp(at + 0.5 * u * u) * np.sqrt(2 * np.pi)
    return u


def log_statements(data, order, printed, z, R, location, se, power, e):
    """Sum of the log probabilities of what is said.

    ``order``: places of the statements in the order in which they are given; ``printed``: those of numbers in
    print, with residuals ``z`` in standard errors of full weight; ``R``: correlations of printed, then said;
    ``location``, ``se``, ``power`` and ``e``: by place.
    """
    seen, values, total = list(z), {data[i].id: data[i].value for i in printed}, 0.0
    for n, i in enumerate(order):
        k, said, scale = len(printed) + n, data[i].statement, se[i] / np.sqrt(power[i])
        by = np.linalg.solve(R[:k, :k], R[k, :k]) if k else np.zeros(0)
        mean, sd = by @ np.array(seen), np.sqrt(1.0 - by @ R[k, :k])
        bounds = [
            (said.lower, said.lower_se, said.above, max, -np.inf),
            (said.upper, said.upper_se, said.below, min, np.inf),
        ]
        a, b = (
            ((chosen - location[i]) / scale - mean) / sd if np.isfinite(np.real(chosen)) else never
            for absolute, in_se, other, nearest, never in bounds
            for chosen in [
                nearest(
                    [absolute, in_se * se[i] if np.isfinite(in_se) else never, values.get(other, never)],
                    key=np.real,
                )
            ]
        )
        # in the upper tail both probabilities are 1 but for what is wanted: look at it from above
        sign = -1.0 if np.real(a) > 0 else 1.0
        low, high = sorted((sign * a, sign * b), key=np.real)
        whole = np.exp(special.log_ndtr(high)) - np.exp(special.log_ndtr(low))
        total = total + np.log(whole)
        below = np.exp(special.log_ndtr(low)) + whole * np.exp(special.log_ndtr(sign * e[i]))
        seen.append(mean + sd * sign * quantile(np.log(below)))
        values[data[i].id] = location[i] + scale * seen[-1]
    return total
