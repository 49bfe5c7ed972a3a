"""Nothing imports upward, PyMC is imported in three places only, and the public names are pinned."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import bayes_net as bn

PACKAGE = Path(bn.__file__).parent
LAYERS = (
    ("errors",),
    ("schema",),
    ("_reading", "_rounding", "tables"),
    ("published",),
    ("_evidence_pairs", "_evidence_rules"),
    ("evidence",),
    ("_validation", "_judgement", "_selection"),
    ("cohort",),
    ("landmarks",),
    ("exposure", "simulate"),
    ("compression", "priors", "borrowing"),
    ("aggregated",),
    ("structure", "assumptions", "registry"),
    ("pool",),
    ("_pooled",),
    ("conditional",),
    ("closed_form", "_backend"),
    ("hazard", "synthesis"),
    ("sampling", "checks"),
    ("estimands", "pooling", "power", "patient_influence", "censoring"),
    ("tipping",),
    ("results",),
    ("predictions",),
    ("new_study", "pool_power"),
    ("pooled_results", "pool_specification"),
    ("specification", "shipped"),
    ("_wording", "_drawing"),
    ("_forest",),
    ("plots",),
    ("result_folder",),
    ("figures", "paper", "report"),
    ("pool_figures",),
    ("pool_report",),
    ("preparation",),
    ("analysis", "pool_analysis"),
    ("output",),
    ("pool_output",),
    ("audit",),
    ("scenarios",),
    ("scenario_figures", "scenario_report"),
    ("censoring_figures",),
    ("comparison", "rebuilding", "scenario_output"),
    ("cli",),
)
"""Lowest first; a module imports from layers below its own only, not from its neighbours.

A private module that is not listed is a part of those that import it: it stands just above what it
imports itself.
"""
LAYER = {module: i for i, layer in enumerate(LAYERS) for module in layer}
HEAVY = {"pymc", "pytensor", "nutpie"}
MAY_IMPORT_HEAVY = {"_backend", "hazard", "sampling", "synthesis", "pooling"}

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
PUBLIC = """
    AggregatedExposure Analysis Assumptions Borrowing Censoring Cohort CohortError CohortWarning
    Comparison Covariate Duration Evidence EvidenceError Exposure Fitted Fixed Flat Gate HalfCauchy
    HalfNormal Hazard InputError Landmark LandmarkSet Normal NormalMixture Note PaperTable Pool
    PoolAnalysis PoolSpecification PooledCohort Priors Response ResultFolder Sampler Sensitivity
    Shrinkage SimulationPlan SlopePrior Specification SpecificationError aggregate analyse_pool
    arm_hazard_ratio baseline_hazard censoring_curve censoring_tipping collapsed_form compare
    compile_model concerned_patients conditional_survival contrast covariate_hazard_ratio
    cumulative_hazard duration elir equal_event_cuts expose expose_registry fit fit_imputed fit_mixture
    fit_pool fitted gate grid_cuts hazard_change_prior hazard_model hazard_ratio hazard_ratio_prior
    hazard_ratio_table impute_censored influence interaction kaplan_meier landmark layout
    leave_one_number_out left_out long_form loo median_survival median_survival_prior paper_tables
    parse_specification plots pooled pooled_power_scaling posterior_predictive power_scaling prepare
    prepare_pool probability probability_prior read_cohort read_evidence read_result read_specification
    rebuild_report rmst robustify run sample save_paper_tables sensitivity simulate_cohort stack
    standardised_survival study_influence summarise survival survival_curves survival_table
    synthesis_model tipping_factor update write_analysis write_cohort write_pool
"""


@cache
def imported(module: str) -> frozenset[str]:
    """Full names of what a module imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write from bayes_net.… import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not called.endswith(("import_module", "__import__")), f"{module} hides an import"
    return frozenset(names)


def parts(module: str) -> set[str]:
    """The package's own modules that a module imports."""
    heads = {name.split(".")[1] for name in imported(module) if name.startswith("bayes_net.")}
    return heads & set(MODULES)


@cache
def layer(module: str) -> float:
    if module in LAYER:
        return LAYER[module]
    assert module.startswith("_"), f"{module} has no place in LAYERS: say which layer it belongs to"
    return max((layer(part) for part in parts(module)), default=-1) + 0.1


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_imported_from_above_or_beside(module):
    upward = sorted(part for part in parts(module) if layer(part) >= layer(module))
    assert not upward, f"{module} imports {', '.join(upward)}"


def test_every_layer_names_modules_that_exist():
    assert set(LAYER) <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_only_the_model_and_its_sampler_import_pymc(module):
    heavy = {name.split(".")[0] for name in imported(module)} & HEAVY
    assert not heavy or module in MAY_IMPORT_HEAVY
    assert "_backend" not in parts(module) or module in MAY_IMPORT_HEAVY


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_reading_checking_and_reporting_do_not_load_pymc():
    everything = (
        "import bayes_net.analysis, bayes_net.cli, bayes_net.figures, bayes_net.output, bayes_net.report"
    )
    assert not loaded_after(everything) & HEAVY


def test_the_package_itself_loads_next_to_nothing():
    assert not loaded_after("import bayes_net; dir(bayes_net)") & (HEAVY | {"pandas", "scipy", "matplotlib"})


def test_public_names_are_pinned_and_resolve():
    assert bn.__all__ == PUBLIC.split()
    assert dir(bn) == PUBLIC.split()
    for name in PUBLIC.split():
        found = getattr(bn, name)
        assert found.__name__.rpartition(".")[2] == name
        assert found.__doc__, name
        # a function that is named like a module would be replaced by it once that is imported
        assert isinstance(found, ModuleType) or name not in MODULES
    with pytest.raises(AttributeError, match="has no attribute 'shrink'"):
        _ = bn.shrink
