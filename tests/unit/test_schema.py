"""Names in a fit are public: they are pinned, and no fit and no model has others."""

import re

import pytest
from exposures import patients

from bayes_net import schema
from bayes_net.assumptions.hazard import Hazard
from bayes_net.inference.patients import fit
from bayes_net.inference.sampling import Sampler
from bayes_net.inference.synthesis import fit_synthesis
from bayes_net.model.hazard import hazard_model
from bayes_net.model.synthesis import synthesis_model
from bayes_net.specification.read import read_specification
from bayes_net.specification.shipped import shipped_models
from bayes_net.workflow.analysis import prepare

PINNED = {
    "DIMS": """
        chain draw arm study landmark interval boundary contrast covariate patient person_interval progression
        shrinkage time state
        endpoint curve baseline borrower effect pooled_endpoint biased_slope response_group pooled_group
        separate_group shrinkage_law shrinkage_arm shrinkage_time shrinkage_study selected_arm
        progressive_group completion_of stratum landmark_interval landmark_boundary inflated
        unprinted_estimate unknown_se row curve_interval landmark_person_interval
    """,
    "GROUPS": "posterior prior sample_stats log_prior log_likelihood observed_data constant_data",
    "PATIENTS_VARIABLES": """
        log_hazard log_baseline level level_at_events step_sd step log_hr_arm log_hr_covariate slope
        common_slope slope_by_interval slope_step_sd slope_step
    """,
    "SYNTHESIS_VARIABLES": """
        log_hazard log_baseline level step_sd step arm_effect arm_effect_mean arm_effect_sd arm_effect_z
        study_level study_level_sd study_level_z slope slope_z slope_mean slope_sd bias bias_z response
        response_mean response_alone response_difference response_difference_sd response_difference_z
        completion early_late early_late_correlation shrinkage_location shrinkage_location_z
        shrinkage_log_spread shrinkage_log_spread_z shrinkage_study_sd shrinkage_study_z selection
        progression log_inflation estimate estimate_z se_z
        landmark_log_hazard landmark_level landmark_step_sd landmark_step study_slope slope_between_sd
        slope_study_z
    """,
    "OBSERVED_TERMS": """
        events progressed patients_of_curves patients_after_landmark published_curves published_arm_effects
        published_slopes published_completion published_completion_by_p published_responses
        published_shrinkage published_ranges statements
    """,
    "DATA_VARIABLES": """
        patients published events interval_start interval_end person_time n n_events last_follow_up
        study_share
        n_concerned imputed_events
    """,
}
STATUSES = (
    "in print|in print, held out|not in print, but said|not in print: predicted|from patients|bias taken off|"
    "no bias term|passed|failed|error"
)
BRIEF = {"seed": 1, "sampler": Sampler(draws=10, tune=20, chains=2)}
HAZARDS = {
    "default": Hazard(),
    "shared": Hazard(baseline="shared", smoothing="independent", slopes="common"),
    "time-varying": Hazard(slopes="time-varying"),
}


@pytest.mark.parametrize("kind", PINNED)
def test_the_names_are_pinned(kind):
    assert list(getattr(schema, kind)) == PINNED[kind].split()
    assert all(getattr(schema, kind).values())


def test_statuses_and_fields_are_pinned():
    assert list(schema.STATUSES) == STATUSES.split("|")
    named = {f"{dim}_{field}" for dim, fields in schema.FIELDS.items() for field in fields}
    assert not named & (set(schema.DIMS) | set(schema.SYNTHESIS_VARIABLES))
    assert set(schema.FIELDS) < set(schema.DIMS)


def network(name):
    return prepare(read_specification(shipped_models()[name])).network


def assert_known(tree, variables):
    """Groups, variables, dims and coordinates of a fit; those of the sampler's statistics are its own."""
    assert set(tree.children) <= set(schema.GROUPS)
    fields = {f"{dim}_{field}" for dim, own in schema.FIELDS.items() for field in own}
    for name, group in tree.children.items():
        if name != schema.SAMPLE_STATS:
            whole = name in (schema.POSTERIOR, schema.PRIOR, schema.LOG_PRIOR)
            assert set(group.data_vars) <= set(variables if whole else schema.DATA_VARIABLES), name
        assert set(group.dims) <= set(schema.DIMS)
        assert set(group.coords) <= set(schema.DIMS) | fields


def assert_model_known(model, variables):
    terms = {term.name for term in model.observed_RVs}
    for name in terms:
        assert set(name.split("_and_")) <= set(schema.OBSERVED_TERMS)
    data = {schema.EXPOSURE, schema.SCORE, schema.COVARIATES}
    others = {name for name in model.named_vars if not name.endswith(("_power", "_printed"))}
    others -= terms | data | set(schema.OBSERVED_TERMS)
    transformed = {name for name in others if re.search(r"__$", name)}
    assert others - transformed <= set(variables)
    assert set(model.coords) <= set(schema.DIMS) | {f"{name}_row" for name in terms}


@pytest.mark.slow
@pytest.mark.parametrize("name", HAZARDS)
def test_a_fit_and_the_model_of_patients_have_no_other_names(name):
    data = patients(covariates=("age",))
    assert_known(fit(data, HAZARDS[name], **BRIEF), schema.PATIENTS_VARIABLES)
    assert_model_known(hazard_model(data, HAZARDS[name]), schema.PATIENTS_VARIABLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prrt_pooled", "prrt_with_patients"])
def test_a_fit_and_the_model_of_a_synthesis_have_no_other_names(name):
    made = network(name)
    assert_known(fit_synthesis(made, **BRIEF), schema.SYNTHESIS_VARIABLES)
    assert_model_known(synthesis_model(made), schema.SYNTHESIS_VARIABLES)
