"""Nothing imports upward, PyMC is imported in three places only, and the public names are pinned."""

import ast
import inspect
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import bayes_net as bn

PACKAGE = Path(bn.__file__).parent
FLOW = (
    "errors",
    "options",
    "schema",
    "labels",
    "numbers",
    "display",
    "files",
    "tables",
    "data",
    "adam",
    "simulate",
    "statistics",
    "evidence",
    "assumptions",
    "model",
    "compiled",
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
    "robustness",
    "cli",
)
"""The folders of the package, ground first: one imports only from those before it, and within a folder
there is no circle."""
MOST_MODULES, MOST_LINES = 10, 360
HEAVY = {"pymc", "pytensor", "nutpie"}
BACKEND = "model.backend"
MAY_IMPORT_HEAVY = {
    BACKEND,
    "engine.nuts",
    "model.hazard",
    "model.laws",
    "model.observed",
    "model.synthesis",
    "model.unprinted",
    "inference.patients",
    "inference.sampling",
    "inference.synthesis",
}

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
PUBLIC = {
    "": """
        Assumptions Censoring Cohort CohortError CohortWarning Covariate Duration Evidence EvidenceError
        Exposure HalfNormal Hazard InputError Network Normal Participants Priors Response Sampler
        Shrinkage SimulationPlan SpecificationError analyse arm_hazard_ratio combine_network compare
        compile_model contrast duration explain expose fit fit_synthesis fitted gate hazard_change_prior
        hazard_model hazard_ratio hazard_ratio_by_time hazard_ratio_prior hazard_ratio_table landmark
        layout long_form median_survival median_survival_prior prepare probability read_adam
        read_cohort read_evidence read_result read_specification rmst run sample sensitivity simulate_cohort
        summarise survival survival_curves synthesis_model write write_adam write_specification
    """,
    "assumptions": """
        Assumptions Hazard Network Participants SlopePrior combine_network expose_with_error priors
    """,
    "checks": """
        Design Gate Prediction calibrate calibration_summary censoring_curve censoring_tipping design_summary
        for_loo_pit gate operating_characteristics
        influence kaplan_meier leave_one_number_out left_out loo posterior_predictive power_scaling prediction
        prior_conflict study_influence
        synthesis_power_scaling tipping_factor
    """,
    "data": """
        AggregatedExposure Cohort Covariate Exposure Landmark LandmarkSet Note Response Shrinkage
        WithoutShrinkage aggregate censor_at_new_therapy collapsed_form equal_event_cuts expose
        expose_registry grid_cuts landmark long_form read_cohort time_dependent transitions
    """,
    "estimands": """
        NormalMixture arm_differences arm_hazard_ratio baseline_hazard binomial_information
        conditional_survival contrast covariate_hazard_ratio cumulative_hazard elir fit_mixture hazard_ratio
        hazard_ratio_by_time hazard_ratio_under_frailty interaction median_survival probability rmst
        robustify standardised_survival state_probabilities summarise survival update
    """,
    "evidence": "Evidence EvidenceError read_evidence",
    "inference": """
        Censoring Imputation Sampler compile_model concerned_patients expose_imputed fit fit_completed
        fit_imputed fit_synthesis fit_with_error impute_censored
        sample stack
    """,
    "model": "hazard_model hazard_model_with_error synthesis_model",
    "paper": "PaperTable appendix save_tables tables",
    "plots": """
        attrition_flow baseline_hazard forest hazard_ratio_by_time ppc prior_posterior save states survival
        svg timeline waterfall
    """,
    "priors": """
        Borrowing Fixed Flat HalfCauchy HalfNormal Normal Priors contrast_prior hazard_change_prior
        hazard_ratio_prior median_survival_prior per_ten_points_prior probability_prior slope_change_prior
    """,
    "results": "Fitted ResultFolder fitted hazard_ratio_table read_result survival_curves survival_table",
    "robustness": "Comparison Planned Sensitivity compare design sensitivity",
    "simulate": """
        SimulationPlan VirtualArm VirtualTrials simulate_cohort virtual_trials write_cohort
    """,
    "specification": "PatientsPlan SynthesisPlan parse_specification read_specification write_specification",
    "workflow": "Analysis Explanation analyse explain prepare rebuild_report run write",
}
"""The public names of the package, and of its folders."""


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


def test_a_module_is_short_enough_to_read_at_one_go():
    lines = {
        module: len((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8").splitlines())
        for module in MODULES
    }
    assert not {module: n for module, n in lines.items() if n > MOST_LINES}


def test_tests_stand_in_folders_that_are_named_like_those_of_the_package():
    here = Path(__file__).resolve().parent
    folders = {path.name for path in (*here.iterdir(), *(here.parent / "fits").iterdir()) if path.is_dir()}
    assert folders - {"calibration", "__pycache__"} <= set(FLOW)


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


@pytest.mark.parametrize("face", PUBLIC)
def test_public_names_are_pinned_and_resolve(face):
    package, names = getattr(bn, face) if face else bn, PUBLIC[face].split()
    modules = [] if face else {*PUBLIC, "schema"} - {""}
    assert sorted(package.__all__) == sorted([*names, *modules])
    assert set(package.__all__) <= set(dir(package))
    for name in names:
        found = getattr(package, name)
        assert found.__name__.rpartition(".")[2] == name
        assert found.__doc__, name
    with pytest.raises(AttributeError, match="shrink"):
        _ = package.shrink


def test_a_function_that_is_named_like_its_module_stays_a_function():
    for module in MODULES:
        import_module(f"bayes_net.{module}")
    assert inspect.isfunction(bn.gate)
    assert inspect.isfunction(bn.checks.gate)
    assert inspect.isfunction(bn.robustness.compare)
    assert inspect.isfunction(bn.estimands.survival)


def test_editors_and_type_checkers_see_what_is_there():
    """A folder's stub lists each name once, and it is one that its module defines."""
    for path in PACKAGE.rglob("__init__.pyi"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [alias for node in tree.body for alias in node.names]
        assert all(isinstance(node, ast.ImportFrom) and node.level == 1 for node in tree.body)
        assert all(alias.asname == alias.name for alias in names)
        assert len({alias.name for alias in names}) == len(names)
