"""What a finished run states of what a regulator asks of a Bayesian analysis, and what it cannot state.

The items are those of the FDA's draft guidance on Bayesian methods, in our words and as published accounts
of the draft have them; its own text was not at hand. From Ji 2026 (arXiv:2601.14701, abstract): success
criteria, priors above all where information is borrowed, operating characteristics found beforehand, other
measures than error rates where the agency agrees, and computation that can be reviewed. From Penn 2026 (R
package bayprior, vignette "Regulatory Reporting"): priors stated, justified, compared with the data, varied,
and fixed beforehand. From Berry and Viele 2026 (podcast "In the Interim", episode 46): criteria that control
the type I error or rest on an agreed prior, design priors beside those of the analysis, discounting, and
where external data are from and how comparable they are. What these do not tell, estimands and missing data
among it, is left out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from bayes_net.numbers import capitalised, counted, listed_and, percent, significant
from bayes_net.results.columns import LEAST_CONTRACTION
from bayes_net.results.folder import ResultFolder
from bayes_net.schema import PASSED, PER_1_POINT

GUIDANCE = (
    "FDA draft guidance “Use of Bayesian Methodology in Clinical Trials of Drug and Biological Products” "
    "(January 2026, docket FDA-2025-D-3217)"
)
SOURCES = (
    "The items are in our words, from published accounts of the draft (Ji 2026, arXiv:2601.14701, abstract; "
    "Penn 2026, R package bayprior; Berry and Viele 2026, podcast In the Interim, episode 46), and not from "
    "its text: read that before a submission. Estimands and missing data are not among them; the estimand is "
    "under ICH E9(R1)."
)
PRIORS, SUCCESS, CHARACTERISTICS = "Priors", "Criterion of success", "Operating characteristics"
BORROWING, COMPUTATION = "Borrowing", "Computation"
VERSION = "version "
"""Begins the keys of provenance that tell the version of a package."""
ATTRIBUTE = "Estimand: "
"""Begins the headings of the model's words that are attributes of the estimand."""
_DECIDES_PRIORS = ("priors", "slopes.hazard_ratio_per_10_points", "borrowing", "bias")
"""Keys of a specification that state a prior begin so."""
_DISCOUNTING = ("Curves", "Response")
"""Headings of a synthesis' words that say how its studies lean on each other."""


@dataclass(frozen=True)
class Statement:
    """One item: its ``topic``, what it ``asks``, what the run ``states``, and the sections of the report that
    show it."""

    topic: str
    asks: str
    states: str
    sections: tuple[str, ...] = ()

    @property
    def stated(self) -> bool:
        """Whether the run states anything of it."""
        return not self.states.startswith(NOT_STATED)


NOT_STATED = "Not stated by this run"


def sponsor(has_to: str) -> str:
    """That the run does not state it, and what its sponsor has to do."""
    return f"{NOT_STATED}: the sponsor has to {has_to}."


def justified(result: ResultFolder) -> dict[str, str]:
    """What the specification justifies in its author's words, by key of its section [justification]."""
    section = tomllib.loads(result.specification).get("justification", {})
    return {key: text.strip() for key, text in section.items() if text.strip()}


def unjustified(result: ResultFolder) -> list[str]:
    """In words, what stays without a justification."""
    there = justified(result)
    return [what for key, what in JUSTIFIED.items() if key not in there]


def _in_its_words(result: ResultFolder, key: str, has_to: str) -> str:
    """The justification of the specification under this key, or that there is none."""
    said = justified(result).get(key)
    return sponsor(has_to) if said is None else f"In the specification’s words: {said}"


JUSTIFIED = {
    "priors": "why the priors were chosen",
    "conflict": "what is done where priors and data conflict",
    "success": "the criterion of success",
    "operating_characteristics": "operating characteristics, or why there are none",
    "comparability": "whether outside information is comparable",
    "fixed": "when the specification was fixed",
}
"""Keys of [justification], and what each is about in the words of a list."""


def statements(result: ResultFolder) -> list[Statement]:
    """Every item in the order of the topics, filled from the specification and the results of the run."""
    parts = (_priors, _success, _characteristics, _borrowing, _computation)
    return [statement for part in parts for statement in part(result)]


def estimand(words: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of the estimand (ICH E9(R1)) that the model's words state."""
    return {
        capitalised(heading.removeprefix(ATTRIBUTE)): " ".join(text.split())
        for heading, text in words.get("model", {}).items()
        if heading.startswith(ATTRIBUTE)
    }


def _priors(result: ResultFolder) -> Iterator[Statement]:
    said = partial(Statement, PRIORS)
    found = result.tables.get("priors")
    listed = sponsor("list every prior with what it means for patients")
    if found is not None and len(found):
        listed = f"{counted(len(found), 'prior')} stated, each with what it implies for patients."
    yield said("Each prior, and what it means for patients", listed, ("model",))
    yield said(
        "Why each prior was chosen, and on what it is based",
        _in_its_words(result, "priors", "justify each prior, and name the data or the judgement behind it"),
    )
    yield said("How much the priors weigh", _weight(result.tables), ("learnt", "model"))
    yield said("Whether priors and data conflict", _conflict(result.tables), ("sensitivity",))
    yield said(
        "What is done where they conflict",
        _in_its_words(result, "conflict", "fix this before the data are seen"),
    )
    yield said("Conclusions under other priors", _other_priors(result), ("sensitivity",))


def _weight(tables: Mapping[str, pd.DataFrame]) -> str:
    rows = [tables[name] for name in ("hazard_ratios", "arms_and_studies") if name in tables]
    table = pd.concat(rows) if rows else pd.DataFrame({"contraction": [], "gate": [], "measure": []})
    usable = table[(table["gate"] == PASSED) & (table["measure"] != PER_1_POINT)]
    known = usable["contraction"].dropna()
    if known.empty:
        return sponsor("say how much each prior weighs against the data")
    silent = int((known < LEAST_CONTRACTION).sum())
    return (
        f"The posteriors of {counted(len(known), 'log hazard ratio')} are narrower than their priors by "
        f"{percent(max(known.min(), 0.0))} to {percent(max(known.max(), 0.0))} (contraction); "
        f"{silent or 'none'} by less than {percent(LEAST_CONTRACTION)}, where the prior alone speaks. "
        "No effective sample size of these priors is computed."
    )


def _conflict(tables: Mapping[str, pd.DataFrame]) -> str:
    if "power_scaling" not in tables:
        return sponsor("compare each prior with the data")
    found = tables["power_scaling"]
    keys = [name for name in ("endpoint", "measure", "landmark", "arm", "study") if name in found]
    readings = found.groupby(keys, dropna=False)["reading"].first().value_counts()
    each = listed_and([f"{n} × “{reading}”" for reading, n in readings.items()])
    compared = tables.get("prior_conflict", pd.DataFrame({"p": []}))["p"].dropna()
    box = "No test of conflict."
    if len(compared):
        box = (
            f"Of {counted(len(compared), 'comparison')} of a prior with the data the smallest prior "
            f"predictive p-value (Box) is {significant(compared.min(), 2)}."
        )
    return (
        f"{box} Priors and likelihood were each raised to a power: of "
        f"{counted(int(readings.sum()), 'hazard ratio')}, {each}. Where both move a hazard ratio, they may "
        "pull in different directions."
    )


def _other_priors(result: ResultFolder) -> str:
    changed = list(_scenarios_of_priors(tomllib.loads(result.specification)))
    if not changed:
        return sponsor("refit under other plausible priors ([[scenarios]] of the specification)")
    named = f"{counted(len(changed), 'scenario')} with other priors or other borrowing: {'; '.join(changed)}."
    if "sensitivity" not in result.tables:
        return f"{NOT_STATED}, but specified and still to be run (bayes-net scenarios): {named}"
    return f"{named} Results beside the analysis as specified."


def _scenarios_of_priors(specification: Mapping[str, Any]) -> Iterator[str]:
    """Names of the scenarios, and keys of the grid, that change what states a prior."""
    for scenario in specification.get("scenarios", ()):
        if any(key.startswith(_DECIDES_PRIORS) for key in _flat(scenario.get("change", {}))):
            yield scenario["name"]
    yield from (f"grid of {key}" for key in specification.get("grid", {}) if key.startswith(_DECIDES_PRIORS))


def _flat(changes: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for key, value in changes.items():
        yield from _flat(value, f"{within}{key}.") if isinstance(value, dict) else (f"{within}{key}",)


def _planned(result: ResultFolder) -> dict[str, Any]:
    """The planned study of the specification, with the rule by which it succeeds; empty without one."""
    return tomllib.loads(result.specification).get("design", {})


def _success(result: ResultFolder) -> Iterator[Statement]:
    criterion = _in_its_words(
        result,
        "success",
        "fix both before the data are seen; the run reports probabilities and makes no decision",
    )
    why = _in_its_words(result, "success", "say which, and why")
    if planned := _planned(result):
        ratio, certainty = planned.get("hazard_ratio", 1.0), planned.get("certainty", 0.975)
        either = f", or above it ({planned['rule']})" if planned.get("rule", "below") != "below" else ""
        criterion = (
            f"Of the planned study ([design] of the specification): a hazard ratio below {ratio:g}{either} "
            f"with a probability above {certainty:g}. This run makes no decision."
        )
    elif "success" in justified(result):
        why = "Stated with the criterion."
    yield Statement(SUCCESS, "The criterion, and the posterior probability that it needs", criterion)
    yield Statement(
        SUCCESS,
        "Why that probability: an error rate that it keeps, or a direct reading that the agency agreed to",
        why,
    )


def _characteristics(result: ResultFolder) -> Iterator[Statement]:
    by = "; bayes-net design does so for a planned study in [design] of the specification"
    simulated = "simulate trials of the design, with its criterion of success, under plausible truths, or say"
    rates = sponsor(f"{simulated} why not{by if _of_patients(result) else ''}")
    if "operating_characteristics" in justified(result):
        rates = _in_its_words(result, "operating_characteristics", "")
    truths = sponsor("state them")
    if planned := _planned(result):
        todo = "specified and still to be run (bayes-net design): assurance, power, type I error."
        rates = rates if "operating_characteristics" in justified(result) else f"{NOT_STATED}, but {todo}"
        known = listed_and([f"{truth:g}" for truth in planned.get("truths", ())] or ["those of [design]"])
        truths = f"The posterior of this run, no association, and hazard ratios of {known}."
    yield Statement(
        CHARACTERISTICS,
        "Error rates, or other measures agreed upon, of the criterion in simulated trials",
        rates,
    )
    yield Statement(
        CHARACTERISTICS,
        "Design priors: from which truths the trials are simulated, beside the priors of the analysis",
        truths,
    )


def _of_patients(result: ResultFolder) -> bool:
    return "attrition" in result.tables


def _borrowing(result: ResultFolder) -> Iterator[Statement]:
    said = partial(Statement, BORROWING)
    if _of_patients(result):
        enter = "Only the patients of the specification’s tables enter the likelihood. "
        yield said(
            "Information from outside the trial, and where it is from",
            enter + sponsor("say whether any of them, or any prior, is from outside the trial"),
            ("data",),
        )
        yield said("How it is discounted", "All patients in the likelihood count alike.", ("model",))
    else:
        yield said(
            "Information from outside the trial, and where it is from", _sources(result), ("evidence",)
        )
        yield said("How it is discounted", _discounting(result), ("model", "provenance"))
    yield said(
        "Whether outside patients are comparable: who, when, measured how, with which covariates",
        _in_its_words(result, "comparability", "show it, study by study"),
    )


def _sources(result: ResultFolder) -> str:
    parts = []
    evidence = result.tables.get("evidence")
    if evidence is not None and len(used := evidence[evidence["use"] == "likelihood"]):
        studies = listed_and([str(study) for study in dict.fromkeys(used["study"])])
        parts.append(f"{counted(len(used), 'published number')} ({studies}), each with its source")
    cohorts = [each["study"] for each in tomllib.loads(result.specification).get("cohorts", ())]
    if cohorts:
        parts.append(f"patients of {listed_and(cohorts)}")
    if not parts:
        return sponsor("name every source")
    which = "Which of these is the trial and which is outside it, the sponsor has to say."
    return f"In the likelihood: {'; '.join(parts)}. {which}"


def _discounting(result: ResultFolder) -> str:
    specification = tomllib.loads(result.specification)
    parts = []
    if stated := [heading for heading in _DISCOUNTING if heading in result.words.get("model", {})]:
        parts.append(f"What studies share is stated under {listed_and(stated)} of the model.")
    powers = specification.get("evidence", {}).get("power", {})
    powers = powers | {
        each["study"]: each["weight"] for each in specification.get("cohorts", ()) if "weight" in each
    }
    lighter = [f"{study} to the power {power:g}" for study, power in powers.items() if power != 1]
    fully = "Every number counts in full." if not lighter else f"Likelihood of {listed_and(lighter)}."
    return " ".join([*parts, fully])


def _computation(result: ResultFolder) -> Iterator[Statement]:
    said, known = partial(Statement, COMPUTATION), result.words.get("provenance", {})
    versions = {key.removeprefix(VERSION): text for key, text in known.items() if key.startswith(VERSION)}
    listed = listed_and([f"{name} {version}" for name, version in versions.items()]) if versions else ""
    yield said("Software and versions", f"{listed}." if listed else sponsor("name them"), ("provenance",))
    settings = [f"fitted by {known['method']}"] if "method" in known else []
    settings += [f"seed {known['seed']}"] if "seed" in known else []
    yield said(
        "Algorithm and seed",
        f"{capitalised('; '.join(settings))}." if settings else sponsor("name them"),
        ("model", "provenance"),
    )
    yield said("Convergence", _convergence(result.tables["diagnostics"]), ("diagnostics",))
    hashed = [name for key, name in _HASHES.items() if key in known]
    told = f" The provenance has the SHA-256 of {listed_and(hashed)}." if hashed else ""
    yield said(
        "What is needed to repeat it",
        f"The specification stands in full in the report.{told} The sponsor has to hand in the data.",
        ("provenance",),
    )
    yield said(
        "That the analysis was fixed before the data were seen",
        _in_its_words(
            result, "fixed", "show when the specification was fixed; a hash says which it is, not when"
        ),
    )


_HASHES = {"specification_sha256": "specification", "data_sha256": "data", "evidence_sha256": "evidence"}


def _convergence(diagnostics: pd.DataFrame) -> str:
    if diagnostics.empty:
        return sponsor("check the chains, none of which was checked")
    failed = int((~diagnostics["passed"].eq(True)).sum())
    checks = counted(len(diagnostics), "check")
    if failed:
        return f"{failed} of {checks} of the chains failed: what they concern must not be used."
    return f"All {checks} of the chains passed. Monte-Carlo errors stand beside the estimates."
