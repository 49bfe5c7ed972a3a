"""Can the fit be believed: the gate, leave-one-patient-out, and replicated Kaplan-Meier curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from bayes_net import schema
from bayes_net.errors import InputError
from bayes_net.estimands.diagnostics import blocks, diagnose, effective_size, smoothed_weights, split_chains
from bayes_net.labels import about, texts

MAX_RHAT = 1.01
MIN_BFMI = 0.3
HIGH_PARETO_K = 0.7
MIN_SPREAD = 1e-9
_LARGEST_IS_WORST = ("R-hat", "divergences", "Pareto k")


@dataclass(frozen=True)
class Gate:
    """The diagnostics that a fit has to pass before its numbers are shown without a mark.

    ``table`` has one row a check: check, worst, threshold, passed, where.
    """

    table: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether every check was passed."""
        return bool(self.table["passed"].all())


def gate(
    fit: xr.DataTree,
    quantities: Mapping[str, xr.DataArray] | None = None,
    *,
    max_rhat: float = MAX_RHAT,
    min_ess: float = schema.MIN_ESS,
) -> Gate:
    """Rank-normalised R-hat, ESS, divergences and E-BFMI of a fit.

    ``quantities`` are the reported draws. R-hat is of these and of every variable of the model; ESS is of
    these alone, since it says how precisely a reported number is known (of every variable without them).
    R-hat: Vehtari et al. 2021, doi:10.1214/20-BA1221. E-BFMI: Betancourt 2016, arXiv:1604.00695. Draws from
    an approximation have Pareto's k and the ESS of its weights in the place of divergences and E-BFMI.

    Chains of several imputations (``fit_imputed``) are of different data sets and need not agree: each
    imputation is checked by itself, and the worst value of each check stands.
    """
    if schema.IMPUTATION in fit["posterior"].coords:
        parts = by_imputation(fit, quantities or {})
        return worst_of(
            {
                f"imputation {number}": gate(tree, own or None, max_rhat=max_rhat, min_ess=min_ess)
                for number, (tree, own) in parts.items()
            }
        )
    variables = {str(name): x for name, x in fit["posterior"].data_vars.items()}
    convergence = _convergence(variables, quantities or variables, max_rhat, min_ess)
    return Gate(pd.DataFrame([*convergence, *_sampler_checks(fit["sample_stats"])]))


def by_imputation(
    fit: xr.DataTree, quantities: Mapping[str, xr.DataArray]
) -> dict[int, tuple[xr.DataTree, dict[str, xr.DataArray]]]:
    """The chains of each imputation of a pooled fit, as a fit of their own, and their quantities."""
    number = fit["posterior"][schema.IMPUTATION].values
    parts = {}
    for one in dict.fromkeys(number.tolist()):
        own = {schema.CHAIN: np.flatnonzero(number == one)}
        groups = {
            name: fit[name].to_dataset().isel(own).drop_vars(schema.IMPUTATION)
            for name in ("posterior", "sample_stats")
        }
        if "constant_data" in fit.children:  # estimands need it
            groups["constant_data"] = fit["constant_data"].to_dataset()
        parts[one] = (
            xr.DataTree.from_dict({"/": xr.Dataset(attrs=fit.attrs), **groups}),
            {name: x.isel(own).drop_vars(schema.IMPUTATION) for name, x in quantities.items()},
        )
    return parts


def worst_of(gates: Mapping[str, Gate]) -> Gate:
    """One gate of several, by name: of each check the worst value, and in which of them it was."""
    rows = pd.concat(
        [
            each.table.assign(where=[f"{name}: {where}" if name else where for where in each.table["where"]])
            for name, each in gates.items()
        ],
        ignore_index=True,
    )
    chosen = []
    for check, own in rows.groupby("check", sort=False):
        worst = own["worst"] if check in _LARGEST_IS_WORST else -own["worst"]
        # what could not be computed did not pass
        unknown = own.index[worst.isna() & ~own["passed"]]
        chosen.append(unknown[0] if len(unknown) else worst.fillna(-np.inf).idxmax())
    return Gate(rows.loc[chosen].reset_index(drop=True))


def _sampler_checks(stats: xr.DataTree) -> list[dict]:
    if schema.PARETO_K in stats:
        k, ess = (float(stats[name][0]) for name in (schema.PARETO_K, schema.IMPORTANCE_ESS))
        return [
            _row("Pareto k", k, threshold=schema.MAX_PARETO_K, largest=True, where="importance weights"),
            _row("importance ESS", ess, threshold=schema.MIN_ESS, largest=False, where="importance weights"),
        ]
    from arviz_stats.base import array_stats

    chains = stats.sizes[schema.CHAIN]
    diverging = stats["diverging"].transpose(schema.CHAIN, ...).values.reshape(chains, -1).sum(axis=1)
    energy = stats["energy"].transpose(..., *schema.SAMPLE_DIMS).values
    bfmi = np.reshape(array_stats.bfmi(energy), (-1, chains)).min(axis=0)
    most, worst = int(diverging.argmax()), int(bfmi.argmin())
    where = f"most in chain {most}" if diverging.any() else "all chains"
    return [
        _row("divergences", int(diverging.sum()), threshold=0, largest=True, where=where),
        _row("E-BFMI", float(bfmi[worst]), threshold=MIN_BFMI, largest=False, where=f"chain {worst}"),
    ]


def _convergence(
    variables: Mapping[str, xr.DataArray],
    reported: Mapping[str, xr.DataArray],
    max_rhat: float,
    min_ess: float,
) -> Iterator[dict]:
    """The worst R-hat and ESS; a quantity that does not vary at all has nothing to diagnose."""
    draws = {**variables, **reported}
    values = {name: _by_element(x) for name, x in draws.items()}
    element = [(name, i) for name, own in values.items() for i in range(len(own))]
    stacked = np.concatenate(list(values.values()))
    largest, smallest = stacked.max(axis=(1, 2)), stacked.min(axis=(1, 2))
    varies = np.flatnonzero((largest != smallest) | ~np.isfinite(largest))
    wanted = np.array([element[i][0] in reported for i in varies], bool)
    rhat, bulk, tail = diagnose(stacked[varies], sized=wanted)
    for check, found, among, threshold, worst in (
        ("R-hat", rhat, varies, max_rhat, np.argmax),
        ("bulk ESS", bulk[wanted], varies[wanted], min_ess, np.argmin),
        ("tail ESS", tail[wanted], varies[wanted], min_ess, np.argmin),
    ):
        of: dict[str, Any] = {"threshold": threshold, "largest": worst is np.argmax}
        if not len(found):
            yield _row(check, np.nan, **of, where="nothing varies")
            continue
        at = worst(found)  # NaN, if there is one
        name, i = element[among[at]]
        yield _row(check, float(found[at]), **of, where=_element(name, draws[name], i))


def _by_element(x: xr.DataArray) -> np.ndarray:
    """Draws as (element, chain, draw)."""
    return x.transpose(..., *schema.SAMPLE_DIMS).values.reshape(
        -1, x.sizes[schema.CHAIN], x.sizes[schema.DRAW]
    )


def _row(check: str, worst: float, *, threshold: float, largest: bool, where: str) -> dict:
    passed = worst <= threshold if largest else worst >= threshold
    return {"check": check, "worst": worst, "threshold": threshold, "passed": bool(passed), "where": where}


def _element(name: str, x: xr.DataArray, element: int) -> str:
    label = texts(about(x))[element]
    return f"{name}[{label}]" if label else name


def loo(fit: xr.DataTree) -> dict[str, float]:
    """Expected log predictive density with each patient, or each published number of a synthesis, left out in
    turn (PSIS-LOO).

    Keys: elpd, elpd_se, p_loo, n, worst_pareto_k and n_high_pareto_k (k > 0.7, where the estimate is
    unreliable). Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4. Few numbers carry a synthesis:
    where k is high, ``leave_one_number_out`` refits.

    Raises
    ------
    InputError
        The fit knows no log-likelihood, or only that of all patients together.
    """
    if "log_likelihood" not in fit.children:
        raise InputError(
            "the fit has no log_likelihood: it is of imputed follow-up, or of patients in a synthesis alone"
        )
    of = "patients" if "patients" in fit["log_likelihood"] else "published"
    values = fit["log_likelihood"][of].transpose(..., schema.CHAIN, schema.DRAW)
    if values.ndim == len(schema.SAMPLE_DIMS):
        raise InputError(
            "the fit knows only the sum of its patients' log-likelihoods; leaving one out needs a fit to an "
            "Exposure, a row a patient"
        )
    elpd, k, p_loo = leave_one_out(_by_element(values), relative_efficiency(fit["posterior"].to_dataset()))
    return {
        "elpd": elpd.sum(),
        "elpd_se": float(np.sqrt(len(elpd) * elpd.var())),
        "p_loo": p_loo.sum(),
        "n": len(elpd),
        "worst_pareto_k": k.max(),
        "n_high_pareto_k": int((~(k <= HIGH_PARETO_K) | np.isnan(elpd)).sum()),
    }


def leave_one_out(
    log_likelihood: np.ndarray, efficiency: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected log predictive density, Pareto k and effective number of parameters, (row,) each, of
    ``log_likelihood`` (row, chain, draw)."""
    values = log_likelihood.reshape(len(log_likelihood), -1)
    elpd, k, p_loo = values[:, 0].copy(), np.zeros(len(values)), np.zeros(len(values))
    # A patient whose likelihood hardly varies (censored at once) needs no importance weights.
    varies = np.flatnonzero(np.ptp(values, axis=1) > MIN_SPREAD)
    for some in blocks(values[varies]):
        rows = varies[some]
        own = values[rows]
        logs, k[rows] = smoothed_weights(own, efficiency)
        elpd[rows] = logsumexp(logs + own, axis=1)
        p_loo[rows] = logsumexp(own, axis=1) - np.log(own.shape[1]) - elpd[rows]
    return elpd, k, p_loo


def relative_efficiency(posterior: xr.Dataset) -> float:
    """Mean effective share of the draws over the model's variables, by which Pareto smoothing allows for
    autocorrelation."""
    every = np.concatenate([_by_element(x) for x in posterior.data_vars.values()])
    varying = every[np.ptp(every, axis=(1, 2)) > 0]
    size = [effective_size(split_chains(varying[rows])) for rows in blocks(varying)]
    return float(np.concatenate(size).mean() / every[0].size) if size else 1.0
