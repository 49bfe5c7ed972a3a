"""An invented synthesis: its tables as a run leaves them, with few rows and no sampling."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_net.figures.style import svg
from bayes_net.figures.synthesis import draw_synthesis
from bayes_net.report.synthesis import SYNTHESIS
from bayes_net.results.columns import PARAMETER_KEYS, PRINTED_COLUMNS, hazard_ratio_columns
from bayes_net.results.folder import Illustration, ResultFolder
from bayes_net.schema import BIAS_TAKEN_OFF, IN_PRINT, OBSERVED, PREDICTED

ARMS = ("control", "177Lu")
_MISSING = float("nan")


def hazard_ratios(arms=ARMS, **changes) -> pd.DataFrame:
    """PFS: the first arm is in print at 150 d and predicted at 36 w; of the second only "no limit" is."""
    rows = []
    for a, arm in enumerate(arms):
        for landmark, hr, below_1, contraction in (
            ("150 d", (0.53, 1.01)[a], (0.993, 0.495)[a], (0.48, -0.04)[a]),
            ("36 w", (0.62, 1.0)[a], (0.961, 0.5)[a], (0.4, -0.04)[a]),
            ("no limit", (0.94, 1.12)[a], (0.68, 0.1)[a], 0.7),
            (OBSERVED, (0.75, 1.02)[a], (0.994, 0.4)[a], 0.8),
        ):
            printed = (landmark == "150 d" and a == 0) or landmark == OBSERVED
            status = IN_PRINT if printed else BIAS_TAKEN_OFF if landmark == "no limit" else PREDICTED
            for measure, power in (("shrinkage, per 10 points", 1.0), ("shrinkage, per 1 point", 0.1)):
                limits = {"hr": hr, "lower": hr / 1.6, "upper": hr * 1.7}
                seen = {"printed": hr - 0.1, "printed_lower": hr - 0.2, "printed_upper": hr + 0.2}
                rows.append(
                    {"endpoint": "pfs", "arm": arm, "landmark": landmark, "measure": measure}
                    | {"biased": "no limit" in landmark, "level": 0.95, "prob_below_1": below_1}
                    | {"prob_below_0.8": 0.4, "prob_0.9_to_1.11": 0.1, "status": status}
                    | {name: value**power for name, value in limits.items()}
                    | {name: value**power if printed else _MISSING for name, value in seen.items()}
                    | {"row": f"P{a}" if printed else "", "said": "", "prior_sd": 0.5, "mcse_hr": 0.002}
                    | {"log_sd": 0.5 * (1 - contraction), "contraction": contraction}
                )
    common = {"estimand": "association", "interval": "equal-tailed", "gate": "passed"}
    return hazard_ratio_columns(pd.DataFrame(rows).assign(**common | changes), more=PRINTED_COLUMNS)


def arms_and_studies(**changes) -> pd.DataFrame:
    """One comparison of arms and one of studies."""
    columns = ["endpoint", "estimand", "study", "hr", "lower", "upper", "prob_below_1", "contraction"]
    rows = [
        ("pfs", "arm", "Trial", 0.2, 0.12, 0.31, 0.9999, 0.85),
        ("pfs", "study against reference", "Series", 1.2, 0.6, 2.1, 0.29, 0.7),
    ]
    told = {"comparison": ["177Lu against control", ""], "level": 0.95, "mcse_hr": 0.002}
    told |= {"interval": "equal-tailed", "gate": "passed"}
    return hazard_ratio_columns(
        pd.DataFrame(rows, columns=columns).assign(**told | changes), more=["comparison"]
    )


def responses(**changes) -> pd.DataFrame:
    """Two pooled groups, the control, and the new study."""
    columns = ["study", "arm", "estimate", "lower", "upper", "contraction"]
    rows = [
        ("Trial", "177Lu", 0.16, 0.1, 0.23, 0.84),
        ("Trial", "control", 0.05, 0.02, 0.11, 0.6),
        ("Series", "177Lu", 0.41, 0.27, 0.56, 0.8),
        ("new study", "", 0.22, 0.03, 0.77, 0.28),
    ]
    return pd.DataFrame(rows, columns=columns).assign(level=0.95, mcse=0.001, **changes)


def checks(**changes) -> pd.DataFrame:
    """A survival inside its predictive interval and a median outside."""
    common = {"study": "Trial", "arm": "177Lu", "endpoint": "pfs", "level": 0.95}
    rows = [
        {"row": "C1", "subgroup": "all", "statistic": "survival", "time": 20.0, "printed": 0.65}
        | {"printed_lower": 0.5, "printed_upper": 0.77, "predicted": 0.68, "lower": 0.46, "upper": 0.82}
        | {"p_value": 0.74},
        {"row": "C2", "subgroup": ">=30", "statistic": "median", "time": _MISSING, "printed": 12.0}
        | {"printed_lower": 9.0, "printed_upper": _MISSING, "predicted": 33.0, "lower": 14.0, "upper": 120.0}
        | {"p_value": 0.004},
    ]
    return pd.DataFrame([common | row for row in rows]).assign(**changes)


def survival() -> pd.DataFrame:
    """Curves of whole arms at five times, of which the last two are beyond the data."""
    times = np.array([6.0, 12.0, 18.0, 24.0, 30.0])
    parts = []
    for i, (study, arm) in enumerate((("Trial", "control"), ("Trial", "177Lu"), ("Series", "177Lu"))):
        estimate = np.exp(-times / (10.0 + 15.0 * i))
        columns = {"endpoint": "pfs", "study": study, "arm": arm, "time": times}
        columns |= {"estimate": estimate, "lower": estimate * 0.8, "upper": estimate**0.8, "level": 0.95}
        parts.append(pd.DataFrame(columns | {"beyond_data": times > 20.0}))
    return pd.concat(parts, ignore_index=True)


def profiles() -> pd.DataFrame:
    """Survival of the trial's control arm after two landmarks, the later one beyond the data after a year."""
    parts = [
        survival().query("arm == 'control'").assign(landmark=landmark, profile=profile)
        for landmark in ("150 d", "36 w")
        for profile in ("all at risk", "0 points", "30 points")
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[(table["landmark"] == "150 d") | (table["time"] < 30)]


def parameters() -> pd.DataFrame:
    """Some that say something to a reader and one that does not."""
    columns = [*PARAMETER_KEYS, "mean", "sd", "prior_sd"]
    rows = [
        ("log_hazard", "pfs", "Trial", "control", "", "pfs Trial control, 0", -3.0, 0.3, 1.0),
        ("response_alone", "", "Trial", "control", "", "Trial control", -2.9, 0.46, 1.25),
        ("slope", "pfs", "", "control", "150 d", "pfs control, 150 d", -0.63, 0.26, 0.5),
        ("slope", "pfs", "", "177Lu", "150 d", "pfs 177Lu, 150 d", 0.0, 0.52, 0.5),
        ("arm_effect", "pfs", "Trial", "", "", "pfs Trial", -1.6, 0.22, 1.5),
        ("arm_effect_mean", "pfs", "", "", "", "pfs", -1.6, 0.22, 1.5),
        ("completion", "", "", "", "", "", 2.4, 1.2, 2.6),
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(contraction=1 - table["sd"] / table["prior_sd"])


def influence(moved: float = 0.04) -> pd.DataFrame:
    """What leaving out each study and one number moves; ``moved`` is what the single-arm series does."""
    rows = [
        ("slope", "pfs", "", "control", "150 d", "pfs control, 150 d"),
        ("arm_effect", "pfs", "Trial", "", "", "pfs Trial"),
        ("response", "", "Series", "177Lu", "", "Series 177Lu"),
    ]
    by_fit = {"without Trial": 2.4, "without Series": moved, "without P0": 1.1}
    return pd.concat(
        [
            pd.DataFrame(rows, columns=PARAMETER_KEYS).assign(fit=fit, moved_by_sd=by)
            for fit, by in by_fit.items()
        ],
        ignore_index=True,
    )


def _told(contraction: float = 0.5) -> list[dict]:
    """What a slope in print, a slope that is the prior, and the arms' hazard ratio are about."""
    slope = {"endpoint": "pfs", "measure": "shrinkage, per 10 points", "landmark": "150 d", "study": ""}
    arms = {"endpoint": "pfs", "measure": "arm", "arm": "", "landmark": "", "study": "Trial"}
    rows = [slope | {"arm": "control"}, slope | {"arm": "177Lu"}, arms]
    shares = (contraction, -0.02, 0.8)
    return [
        row | {"biased": False, "status": "", "contraction": c} for row, c in zip(rows, shares, strict=True)
    ]


def power_scaling() -> pd.DataFrame:
    """The slope in print hangs on its study and its prior, the other on its prior alone."""
    parts = ["likelihood", "likelihood of Trial", "likelihood of Series", "all priors"]
    parts += ["prior of slope", "prior of arm effect"]
    values = ((0.12, 0.13, 0.01, 0.1, 0.11, 0.0), (0.01, 0.01, 0.01, 0.09, 0.08, 0.0))
    values += ((0.11, 0.11, 0.0, 0.03, 0.0, 0.02),)
    readings = ("priors and data both move it", "priors are strong, or data weak")
    readings += ("little depends on the priors",)
    return pd.DataFrame(
        row | {"component": part, "sensitivity": value, "shift": 0.1, "reading": reading}
        for row, own, reading in zip(_told(), values, readings, strict=True)
        for part, value in zip(parts, own, strict=True)
    ).drop(columns="contraction")


def slope_densities() -> pd.DataFrame:
    """The control arm at 150 d has moved, and all else is the prior."""
    hr, parts = np.exp(np.linspace(-1.2, 1.2, 60)), []
    for row in hazard_ratios().query("measure == 'shrinkage, per 10 points'").itertuples():
        after = (np.log(row.hr), 0.26) if row.row == "P0" else (0.0, 0.5)
        normal = [np.exp(-0.5 * ((np.log(hr) - m) / s) ** 2) / s for m, s in ((0, 0.5), after)]
        about = {"endpoint": row.endpoint, "arm": row.arm, "landmark": row.landmark, "biased": row.biased}
        parts.append(pd.DataFrame(about | {"hr": hr, "prior": normal[0], "posterior": normal[1]}))
    return pd.concat(parts, ignore_index=True).assign(gate="passed")


def study_influence(**changes) -> pd.DataFrame:
    """Without the trial its slope is the prior and its arms are not known; the series moves little."""
    rows = []
    for row in _told():
        hr = {"hr": 0.53, "lower": 0.31, "upper": 0.91, "level": 0.95, "mcse_hr": 0.003}
        known = {"hr_without": 0.55, "lower_without": 0.3, "upper_without": 0.95, "shift": 0.07}
        known |= {"width": 1.02, "pareto_k": 0.3, "refitted": True, "reliable": True}
        gone = known | {"contraction_without": 0.02}
        if row["measure"] == "arm":
            gone |= {"reliable": False, "refitted": False} | dict.fromkeys(list(known)[:5], _MISSING)
        rows += [row | hr | gone | {"without": "Trial"}]
        rows += [row | hr | known | {"contraction_without": 0.45, "without": "Series"}]
    return pd.DataFrame(rows).assign(**changes)


def evidence(**changes) -> pd.DataFrame:
    """A comparison of arms, a held-out survival, a held-out limit without prediction, a single-arm count."""
    common = dict.fromkeys(("p", "landmark", "correlated_with", "correlation", "reference_arm"), "")
    common |= {"subgroup": "all", "time": _MISSING, "threshold": _MISSING, "source": "Author 2020"}
    common |= dict.fromkeys(("value", "lower", "upper", "n"), _MISSING) | {
        "endpoint": "pfs",
        "section": "3.1",
    }
    rows = [
        {
            "id": "P0",
            "study": "Trial",
            "arm": "177Lu",
            "reference_arm": "control",
            "value": 0.18,
            "lower": 0.11,
        }
        | {
            "upper": 0.29,
            "statistic": "hazard ratio",
            "use": "likelihood",
            "p": "<0.0001",
            "note": "central",
        },
        {"id": "C1", "study": "Trial", "arm": "control", "value": 0.65, "statistic": "survival", "time": 20.0}
        | {"use": "check", "note": ""},
        {"id": "C3", "study": "Trial", "arm": "control", "lower": 18.4, "statistic": "median", "use": "check"}
        | {"note": "not reached"},
        {"id": "S1", "study": "Series", "arm": "177Lu", "value": 21.0, "n": 47.0, "statistic": "count"}
        | {"endpoint": "response", "use": "likelihood", "note": "partial responses"},
    ]
    return pd.DataFrame([common | row for row in rows]).assign(**changes)


def diagnostics(failed: tuple[str, ...] = ()) -> pd.DataFrame:
    """Two checks of three fits; those named fail their first."""
    rows = [
        {"fit": fit, "check": check, "worst": worst, "threshold": threshold, "where": "slope[pfs control]"}
        | {"passed": not (fit in failed and check == "R-hat")}
        for fit in ("all evidence", "without Trial", "without Series", "without P0")
        for check, worst, threshold in (
            ("R-hat", 1.02 if fit in failed else 1.003, 1.01),
            ("bulk ESS", 900, 400),
        )
    ]
    return pd.DataFrame(rows)


def priors() -> pd.DataFrame:
    rows = [
        ("hazard ratio of the arms", "95 % of hazard ratios between 0.05 and 20", "ratio: 0.05 to 20 (95 %)")
    ]
    return pd.DataFrame(rows, columns=["parameter", "statement", "implies"])


def clinical() -> pd.DataFrame:
    """Hazard ratios of both arms per 10 and 30 points, a response, and what moves without a study."""
    columns = ["without", "quantity", "arm", "study", "landmark", "of", "estimate", "lower", "upper"]
    rows = [
        ("", "hazard ratio", "177Lu", "", "150 d", "per 10 points of shrinkage", 1.01, 0.63, 1.72),
        ("", "hazard ratio", "177Lu", "", "150 d", "per 30 points of shrinkage", 1.03, 0.25, 5.1),
        ("", "hazard ratio", "control", "", "150 d", "per 10 points of shrinkage", 0.53, 0.33, 0.9),
        ("", "hazard ratio", "control", "", "150 d", "per 30 points of shrinkage", 0.15, 0.04, 0.73),
        ("", "response at completion", "177Lu", "Series", "16 w", "responders", 0.87, 0.57, 0.98),
        ("", "response at completion", "177Lu", "Series", "16 w", "others", 0.3, 0.18, 0.46),
        ("Series", "hazard ratio", "177Lu", "", "150 d", "per 10 points of shrinkage", 1.01, 0.63, 1.72),
        ("Series", "hazard ratio", "control", "", "150 d", "per 10 points of shrinkage", 0.7, 0.4, 1.2),
    ]
    table = pd.DataFrame(rows, columns=columns).assign(endpoint="pfs", level=0.95, mcse=0.001, sd=0.2)
    return table.assign(mean=table["estimate"], gate="passed")


def tables(**changes) -> dict[str, pd.DataFrame]:
    """All of them; ``changes`` replaces a table, and None leaves it out."""
    found = {
        "diagnostics": diagnostics(),
        "influence": influence(),
        "loo": pd.DataFrame({"row": ["P0"], "elpd": [-0.4], "pareto_k": [0.9], "how": ["refitted"]}),
        "answer": clinical(),
        "hazard_ratios": hazard_ratios(),
        "arms_and_studies": arms_and_studies(),
        "responses": responses(),
        "parameters": parameters(),
        "checks": checks(),
        "survival": survival(),
        "profiles": profiles(),
        "evidence": evidence(),
        "priors": priors(),
        "power_scaling": power_scaling(),
        "study_influence": study_influence(),
        "slope_densities": slope_densities(),
        "sensitivity": pd.DataFrame({"Of": ["PFS, 150 d"], "Medians of scenarios": ["0.60 to 1.20 (a)"]}),
    }
    return {name: table for name, table in (found | changes).items() if table is not None}


def content(
    *, draw: bool = False, found: dict | None = None, figures: dict | None = None, **words
) -> ResultFolder:
    """A result of these tables, with its figures if they are wanted; ``words`` replaces what else it says."""
    found = tables() if found is None else found
    drawn = drawn_of(pickle.dumps(found)) if draw else {}
    said = {"title": "An invented synthesis", "description": "Numbers made up for tests.", "level": 0.95}
    said |= {"synthetic": False, "notes": [], "provenance": {"seed": "1"}}
    said |= {"model": {"Slopes": "One in each arm.", "Equation of a slope": "β ~ normal(0, τ)"}}
    said |= {"sensitivity": ["2 scenarios beside the analysis as specified."]}
    return ResultFolder(
        path=Path("invented"),
        kind=SYNTHESIS,
        tables=found,
        figures=figures or dict(drawn),
        words=said | words,
        specification='title = "x"\n',
    )


@functools.cache
def drawn_of(found: bytes) -> dict[str, Illustration]:
    """The figures of these tables; drawn once for all tests of a process."""
    made = draw_synthesis(pickle.loads(found))
    return {each.name: Illustration(each.section, svg(each.axes), each.caption, each.alt) for each in made}
