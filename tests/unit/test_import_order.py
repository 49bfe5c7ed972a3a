"""Nothing imports upward, PyMC is imported in three places only, and the public names are pinned."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import bayes_net as bn

PACKAGE = Path(bn.__file__).parent
FLOW = (
    "errors",
    "schema",
    "numbers",
    "display",
    "data",
    "simulate",
    "evidence",
    "model",
    "engine",
    "inference",
    "estimands",
    "specification",
    "checks",
    "results",
    "report",
    "figures",
    "paper",
    "workflow",
    "cli",
)
"""The folders of the package, ground first: one imports only from those before it, and within a folder
there is no circle."""
MOST_MODULES = 10
HEAVY = {"pymc", "pytensor", "nutpie"}
BACKEND = "model.backend"
MAY_IMPORT_HEAVY = {
    BACKEND,
    "engine.nuts",
    "model.hazard",
    "model.synthesis",
    "model.terms",
    "inference.patients",
    "inference.sampling",
    "inference.synthesis",
}

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__init__"
)
PUBLIC = """
    AggregatedExposure Analysis Assumptions Borrowing Censoring Cohort CohortError CohortWarning
    Comparison Covariate Duration Evidence EvidenceError Exposure Fitted Fixed Flat Gate HalfCauchy
    HalfNormal Hazard InputError Landmark LandmarkSet Network Normal NormalMixture Note PaperTable
    Participants PatientsPlan Priors Response ResultFolder Sampler Sensitivity Shrinkage
    SimulationPlan SlopePrior SpecificationError SynthesisPlan aggregate analyse arm_hazard_ratio
    baseline_hazard censoring_curve censoring_tipping collapsed_form combine_network compare
    compile_model concerned_patients conditional_survival contrast covariate_hazard_ratio
    cumulative_hazard duration elir equal_event_cuts expose expose_registry fit fit_imputed
    fit_mixture fit_synthesis fitted gate grid_cuts hazard_change_prior hazard_model hazard_ratio
    hazard_ratio_by_time hazard_ratio_prior hazard_ratio_table impute_censored influence interaction
    kaplan_meier landmark layout leave_one_number_out left_out long_form loo median_survival
    median_survival_prior paper_tables parse_specification plots posterior_predictive power_scaling
    prepare probability probability_prior read_cohort read_evidence read_result read_specification
    rebuild_report rmst robustify run sample save_paper_tables sensitivity simulate_cohort
    slope_change_prior stack standardised_survival study_influence summarise survival
    survival_curves survival_table synthesis_model synthesis_power_scaling tipping_factor update
    write write_cohort
"""


@cache
def imported(module: str) -> frozenset[str]:
    """Full names of what a module imports, at its top or inside functions."""
    names = set()
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    names = {name.removeprefix("bayes_net.") for name in imported(module)}
    return names & set(MODULES)


def place(module: str) -> int:
    return FLOW.index(module.split(".")[0])


@pytest.mark.parametrize("module", MODULES)
def test_a_folder_imports_only_from_those_before_it(module):
    later = sorted(part for part in parts(module) if place(part) > place(module))
    assert not later, f"{module} imports {', '.join(later)}"


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter({module: parts(module) for module in MODULES}).prepare()


def test_the_flow_names_what_is_there():
    assert {module.split(".")[0] for module in MODULES} == set(FLOW)


def test_a_folder_is_small_enough_to_see_at_a_glance():
    sizes = Counter(module.split(".")[0] for module in MODULES)
    assert max(sizes.values()) <= MOST_MODULES, sizes


def test_a_folder_is_the_wall():
    """Nothing has a private name that another module uses, and no module has one."""
    assert not [module for module in MODULES if module.split(".")[-1].startswith("_")]
    names = {name.split(".")[-1] for module in MODULES for name in imported(module) if "bayes_net" in name}
    assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_only_the_model_and_its_sampler_import_pymc(module):
    heavy = {name.split(".")[0] for name in imported(module)} & HEAVY
    assert not heavy or module in MAY_IMPORT_HEAVY
    assert BACKEND not in parts(module) or module in MAY_IMPORT_HEAVY


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_reading_checking_and_reporting_do_not_load_pymc():
    everything = "import bayes_net.cli.app, bayes_net.figures.synthesis, bayes_net.workflow.write"
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
