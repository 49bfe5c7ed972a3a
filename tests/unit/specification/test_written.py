"""A specification that is written down is read back as the same one, whatever was changed in it."""

import re
import tomllib
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import OTHER_VALUES, SYNTHETIC, parse, values

import bayes_net as bn
from bayes_net.errors import InputError, SpecificationError
from bayes_net.specification.sections import SamplingSection
from bayes_net.specification.shipped import shipped_models

SYNTHESIS_VALUES = {
    "justification": OTHER_VALUES["justification"],
    "evidence": {
        "use": {"N10": "record"},
        "correlation": {"N10 N11": 0.5},
        "power": {"NETTER-1": 0.5, "a “b” \\": 1.0},
        "only": ["pfs"],
        "statements": False,
    },
    "virtual_trials": {"se_factor": 1.5, "correlations": "independent"},
    "cohorts": [{"study": "A", "patients": "p.csv", "time_unit": "days"}, {"study": "B", "adam": "b"}],
    "model": {
        "arms": ["a", "b"],
        "reference": "ANOTHER",
        "own_baseline": ["C"],
        "cuts": ["4mo"],
        "smoothing": "independent",
        "subgroups_of": "b",
    },
    "slopes": {
        "landmarks": ["0.5y", "no limit"],
        "structure": "exchangeable",
        "length": 2,
        "level": 0.25,
        "hazard_ratio_per_10_points": [0.5, 2.0],
        "heterogeneity": 0.1,
        "between_studies": 1,
        "no_limit_at": "72w",
    },
    "bias": {"by_arm": {"control": [-0.02, 0.01]}, "scale": 0},
    "borrowing": {"level": {"kind": "none"}, "response": {"sd": 0.7, "weight": 0.5}},
    "priors": {"median_months": [1, 90.5], "arm_heterogeneity": 0, "response_probability": [0, 0.5]},
    "sampling": {"seed": 5, "draws": 300, "method": "laplace", "retry": False},
    "report": {"level": 0.9, "profiles": [0, 20, 40.25], "predict_until": "2y", "leave_one_out": False},
    "grid": {"bias.scale": [0.0, 1], "evidence.files": [["x.csv"], ["y.csv"]]},
    "scenarios": [{"name": "one", "change": {"evidence": {"files": ["z.csv"]}, "bias.scale": 2}}],
}
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["", '"""', "a\nb", "\n", "ends in \\", "# none", "\r\n", "\tµ “x”", "\x7f", "[a]"]
)


def changed(draw, plan, others):
    """A plan with up to four other values, those left out that are refused beside what there is."""
    if draw(st.booleans()):
        plan = plan.with_(title=draw(WORDS), description=draw(WORDS))
    keys = [
        (name, key)
        for name, value in others.items()
        for key in (value if isinstance(value, dict) else [None])
    ]
    for name, key in draw(st.lists(st.sampled_from(keys), max_size=4)):
        value = others[name] if key is None or name == "grid" else {key: others[name][key]}
        with suppress(SpecificationError):
            plan = plan.with_(**{name: value})
    return plan


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("name", [*shipped_models(), "adam", "response"])
@given(st.data())
def test_what_is_written_is_read_back_as_the_same(name, tmp_path_factory, data):
    adam = {"adam": "x", "patients": None, "scans": None, "time_unit": None}
    plan = {
        "adam": lambda: parse(values(data=adam)),
        "response": lambda: parse(values(priors={"hazard_ratio_response": [0.2, 5]})),
    }.get(name, lambda: bn.read_specification(name))()
    others = OTHER_VALUES if hasattr(plan, "data") else SYNTHESIS_VALUES
    plan = changed(data.draw, plan, others)
    plan._folder = tmp_path_factory.getbasetemp()
    path = next(p for n in count() if not (p := plan.folder / f"{name}{n}.toml").exists())
    bn.write_specification(plan, path, defaults=data.draw(st.booleans()))
    again = bn.read_specification(path)
    assert again == plan
    assert again.digest == plan.digest
    assert again.with_().digest == plan.digest


@pytest.mark.parametrize("name", shipped_models())
def test_every_key_has_its_description_above_it_and_none_has_its_default(name):
    plan = bn.read_specification(name)
    lines = plan.to_toml().splitlines()
    told = {"": ""}
    for before, line in pairwise(lines):
        if (key := re.match(r"(\w+) = ", line)) and key[1] not in told:
            assert before.startswith("# "), line
            told[key[1]] = before
    assert told["seed"] == "# Any whole number from 0; the same seed gives the same draws."
    assert not {"chains", "tune", "level"} & set(told)
    assert max(map(len, (line for line in lines if line.startswith("#")))) <= 112


def test_with_defaults_every_key_that_can_be_is_there():
    plan = parse(values(data=SYNTHETIC["data"]))
    whole = tomllib.loads(plan.to_toml(defaults=True))
    assert set(whole["sampling"]) == {*SamplingSection.model_fields}
    assert whole["sampling"]["target_accept"] == 0.98
    assert set(plan.values) - {"covariates"} <= set(whole)  # of which there are none


def test_a_file_that_is_there_is_left_as_it_is(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine.toml exists already and is left as it is"):
        bn.write_specification(bn.read_specification("prrt_pooled"), path)
    assert path.read_text("utf-8") == "mine"


def test_in_another_folder_paths_lead_to_the_same_files(tmp_path):
    shipped = bn.read_specification("prrt_pooled")
    plan = shipped.with_(
        grid={"evidence.files": [["a.csv"], ["b.csv"]]},
        scenarios=[
            {"name": "x", "change": {"evidence": {"files": ["c.csv"]}, "evidence.use": {"files": "record"}}}
        ],
    )
    again = bn.read_specification(bn.write_specification(plan, tmp_path / "here" / "mine.toml"))
    assert all(path.is_file() for path in again.evidence.files)
    assert again.grid["evidence.files"][1] == [str(shipped.folder / "b.csv")]
    change = again.scenarios[0].change
    assert change["evidence"]["files"] == [str(shipped.folder / "c.csv")]
    assert change["evidence.use"] == {"files": "record"}
    # below the new folder, paths stay relative, so that the folder can be moved
    other = parse(values(), where=tmp_path / "study" / "plan.toml")
    back = bn.read_specification(bn.write_specification(other, tmp_path / "plan.toml"))
    assert back.data.patients == Path("study/patients.csv")


def test_none_takes_a_key_out():
    plan = parse(values(priors={"log_hazard": [-3, 1]}))
    again = plan.with_(priors={"log_hazard": None, "median_months": [3, 30]})
    assert again.priors.median_months == (3, 30)
    assert again.priors.log_hazard is None


def test_a_change_does_not_state_what_was_left_out():
    adam = parse(values(data={"adam": "x", "patients": None, "scans": None, "time_unit": None}))
    for plan in (adam, adam.with_(title="other"), parse(adam.values)):
        assert "scans_after_death" not in plan.data.model_fields_set
        assert "scans_after_death" not in plan.to_toml()
    assert 'scans_after_death = "refuse"' in adam.with_(data={"scans_after_death": "refuse"}).to_toml()
