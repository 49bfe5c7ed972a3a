"""Every stored calibration belongs to the present code, and to the present design of its trials."""

import json
from pathlib import Path

import numpy as np
import pytest
from calibration import (
    across,
    any_time,
    between_scans,
    coverage,
    forms,
    imputed,
    measurement,
    published,
    publishing,
    recovery,
    responses,
    runner,
    steps,
)
from calibration.fingerprint import stale

NAMES = {module.__name__.rpartition(".")[2]: module for module in (across, any_time, between_scans, forms)}
NAMES |= {
    module.__name__.rpartition(".")[2]: module for module in (coverage, measurement, published, publishing)
}
NAMES |= {module.__name__.rpartition(".")[2]: module for module in (imputed, responses, steps)}
STORED = {name: (module.STORED, module.design()) for name, module in NAMES.items()}
STORED |= {f"recovery, {name}": (path, recovery.design(name)) for name, path in recovery.STORED.items()}
DRAWS = (np.array([-1.0, 0.0, 1.0, 0.0]), np.array([3.0, 4.0, 5.0, 4.0]))


def test_no_stored_calibration_goes_unwatched():
    assert {path for path, _ in STORED.values()} >= set(Path(runner.__file__).parent.glob("*.json"))


@pytest.mark.parametrize("name", STORED)
def test_a_stored_calibration_belongs_to_the_present_code_and_design(name):
    path, design = STORED[name]
    again = f"run `python -m tests.calibration.{name}`"
    if not path.exists():
        pytest.skip(f"not stored: {again} and commit {path.name}")
    stored = json.loads(path.read_text(encoding="utf-8"))
    changed = stale(stored["code"]["definitions"])
    assert not changed, f"{', '.join(changed)} changed since {stored['date']}: {again} and commit {path.name}"
    of = stored.get("design", stored)
    assert {key: of[key] for key in design} == design, f"the design has changed: {again}"


def test_a_resumed_calibration_keeps_whole_trials_of_its_own_kind(tmp_path):
    partial, wanted = tmp_path / "partial.jsonl", {"seed": 1}
    assert runner.resumed(partial, wanted) == []
    with partial.open("a") as file:
        file.write('[{"cohort": 0}]\n[{"coh')
    assert runner.resumed(partial, wanted) == [[{"cohort": 0}]]
    assert runner.trials(2, lambda number: [{"cohort": number}], partial, wanted) == [
        [{"cohort": 0}],
        [{"cohort": 1}],
    ]
    assert runner.resumed(partial, wanted) == [[{"cohort": 0}], [{"cohort": 1}]]
    assert runner.resumed(partial, {"seed": 2}) == []


def test_a_result_is_stored_with_its_date_versions_and_code(tmp_path, capsys):
    path = tmp_path / "one.json"
    rows = [{"of": "slow", "truth": 0.0, "events": 9} | runner.interval(x, 0.0) for x in DRAWS]
    runner.store(path, ["data.gauss"], {"rows": runner.summary(rows, ("of",))}, show=["rows"])
    stored = json.loads(path.read_text())
    assert set(stored) == {"date", "versions", "code", "rows"}
    assert stored["rows"][0] | {"trials": 2, "covered": 1, "bias": 2.0, "events": 9.0} == stored["rows"][0]
    assert not stale(stored["code"]["definitions"])
    assert "covered" in capsys.readouterr().out
