"""Reporting checklists, and where a report answers each item.

ICH E9(R1): the attributes of an estimand, addendum of 2019. BARG: Kruschke 2021,
doi:10.1038/s41562-021-01177-7. ROBUST: Sung et al. 2005, doi:10.1016/j.jclinepi.2004.08.010. Items are in our
words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

BARG = "BARG (Bayesian analysis reporting guidelines, Kruschke 2021, doi:10.1038/s41562-021-01177-7)"
ROBUST = "ROBUST (Bayesian analyses in clinical studies, Sung 2005, doi:10.1016/j.jclinepi.2004.08.010)"
E9 = "ICH E9(R1) (estimands and sensitivity analysis in clinical trials, addendum, 2019)"
AUTHORS = "Not answered: for the authors to say, a program cannot know"
NO_DECISION = "Does not apply: no decision is made, probabilities are reported"
NOT_CHECKED = "Not answered: nothing was held out or replicated"
NOT_RUN = "Not answered: scenarios were not run"


@dataclass(frozen=True)
class Item:
    """One thing a checklist asks for.

    ``sections`` are those of the report that answer it, in either kind of report; ``otherwise`` says why it
    is not answered where none of them is there.
    """

    asks: str
    sections: tuple[str, ...]
    otherwise: str = "Not answered in this report"
    justified: str = ""
    """The key of [justification] that answers it, in the section for regulators."""


ITEMS: dict[str, tuple[Item, ...]] = {
    E9: (
        Item("Population", ("model",)),
        Item("Treatment", ("model",)),
        Item("Variable", ("model",)),
        Item("Intercurrent events, and how each is handled", ("model",)),
        Item("Population-level summary", ("model",)),
        Item("Sensitivity of the estimate to its assumptions", ("sensitivity",), NOT_RUN),
        Item("Clinical question of the trial, and whether this estimand answers it", (), AUTHORS),
    ),
    BARG: (
        Item("Why a Bayesian analysis", (), AUTHORS),
        Item("Goals of the analysis", ("answer",)),
        Item("1. Data: outcomes and predictors", ("data", "evidence")),
        Item("1. Likelihood and parameters", ("model",)),
        Item("1. Priors, stated", ("model",)),
        Item("1. Priors, justified", (), AUTHORS, "priors"),
        Item("1. Formal specification", ("model", "provenance")),
        Item("1. What the priors predict", ("model", "learnt")),
        Item("2. Software", ("provenance",)),
        Item("2. Chains converged", ("diagnostics",)),
        Item("2. Effective sample sizes", ("diagnostics",)),
        Item("3. Posterior-predictive check", ("ppc", "checks"), NOT_CHECKED),
        Item("3. Centre and credible interval of every quantity", ("hazard-ratios", "arms", "response")),
        Item("4. Decisions: limits of practical equivalence", ("probabilities",)),
        Item("4. Why these limits", (), AUTHORS),
        Item("4. Loss or utility behind decisions", (), NO_DECISION),
        Item("4. Bayes factors and prior model probabilities", (), "Does not apply: none are computed"),
        Item("5. Sensitivity to priors and other choices", ("sensitivity",), NOT_RUN),
        Item("6. Versions and seed", ("provenance",)),
        Item("6. Script that runs the analysis", ("provenance",)),
        Item("6. Data available to others", (), AUTHORS),
    ),
    ROBUST: (
        Item("Prior specified", ("model",)),
        Item("Prior justified", (), AUTHORS, "priors"),
        Item("Sensitivity to the prior", ("sensitivity",), NOT_RUN),
        Item("Statistical model", ("model",)),
        Item("Analytic technique", ("model", "diagnostics")),
        Item("Central tendency", ("hazard-ratios", "arms", "response")),
        Item("SD or credible interval", ("hazard-ratios", "arms", "response")),
    ),
}


def checklists(
    sections: Collection[str], justified: Collection[str] = ()
) -> Iterator[tuple[str, list[tuple[str, list[str], str]]]]:
    """Each checklist's name, and per item what it asks, the sections that answer it, and why none does.

    ``justified`` are the keys of [justification] that the specification has.
    """
    for name, items in ITEMS.items():
        rows = []
        for item in items:
            answering = ("regulators",) if item.justified in justified else item.sections
            rows.append((item.asks, [key for key in answering if key in sections], item.otherwise))
        yield name, rows
