"""What an audit of priors finds is the closed form's answer."""

import numpy as np
import pools
import pytest
from command_line import invoke
from scipy import stats
from test_synthesis_run import page
from test_synthesis_run import written as written_pool

import bayes_net as bn
from bayes_net.report.scenarios import audit_to_read
from bayes_net.robustness.audit import MOVED
from bayes_net.schema import AS_SPECIFIED

LIMITS, DATUM, SE = (0.7, 1.43), -0.9, 0.4
"""A prior that is strong by intention, against one printed hazard ratio; a response cannot matter."""
LEVEL = 0.9
SPECIFICATION = {
    "title": "One printed hazard ratio",
    "evidence": {"files": ["rows.csv"]},
    "model": {"arms": list(pools.ARMS), "reference": "A", "cuts": ["8mo"]},
    "borrowing": {"response": {"kind": "full"}},
    "priors": {"hazard_ratio_arm": list(LIMITS)},
    "sampling": {"seed": 1, "draws": 2000, "tune": 600, "target_accept": 0.9},
    "report": {"level": LEVEL},
}


def exact(mean: float, sd: float, *, power: float = 1.0) -> tuple[float, float]:
    precision = sd**-2 + power * SE**-2
    return (mean / sd**2 + power * DATUM / SE**2) / precision, precision**-0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Exit code, output and folder of an audit without any scenario."""
    folder = tmp_path_factory.mktemp("audit")
    rows = (pools.ratio("R1", DATUM, SE), pools.row("C1", "count", 30, n=60, endpoint="response", study="B"))
    path = written_pool(folder, rows, of=SPECIFICATION)
    code, shown, error = invoke("scenarios", path, "--audit", "--out", folder / "out")
    assert error == ""
    return code, shown, folder / "out"


@pytest.fixture(scope="module")
def found(run):
    return bn.read_result(run[2]).tables["audit"].set_index("block")


def test_shifts_and_widths_are_those_of_the_conjugate_posterior(found):
    mean, sd = np.log(LIMITS).mean(), np.log(LIMITS[1] / LIMITS[0]) / (2 * stats.norm.ppf(0.975))
    whole = exact(mean, sd)
    own = found.loc["arm effect"]
    cases = (
        (own["hr_weakened"], own["shift_weakened"], own["width_weakened"], exact(mean, 4 * sd)),
        (own["hr_other"], own["shift_other"], own["width_other"], exact(mean + sd, sd)),
    )
    left = found.loc["A"]
    cases += ((left["hr_weakened"], left["shift_weakened"], left["width_weakened"], (mean, sd)),)
    for hr, shift, width, (after, after_sd) in cases:
        # the error of a shift is told; a limit's is about twice a median's
        error = 4 * max(own["mcse_shift_weakened"], own["mcse_shift_other"], left["mcse_shift_weakened"])
        assert shift == pytest.approx((after - whole[0]) / whole[1], abs=error)
        assert width == pytest.approx(after_sd / whole[1], rel=2 * error)
        assert np.log(hr) == pytest.approx(after, abs=error * whole[1])
    assert own["other"] == MOVED
    assert left["kind"] == "study"
    assert np.isnan(left["hr_other"])


def test_the_strong_prior_is_found_first_and_what_cannot_matter_does_not(found):
    order = list(dict.fromkeys(found.index))
    assert order[:2] == ["arm effect", "A"]
    assert set(order[2:]) == {"response", "B"}
    for block in ("response", "B"):
        own = found.loc[block]
        ends = ("weakened", "other") if block == "response" else ("weakened",)
        assert all(abs(own[f"shift_{end}"]) < 4 * own[f"mcse_shift_{end}"] for end in ends)
        assert abs(np.log(own["width_weakened"])) < 0.1


def test_the_audit_needs_no_scenarios_compiles_no_model_and_is_told_everywhere(run):
    code, shown, out = run
    assert code == 0
    result = bn.read_result(out)
    names = [AS_SPECIFIED, "arm effect, SD x 4", "arm effect, mean + 1 SD"]
    names += ["response, SD x 4", "response, mean + 1 SD", "without A", "without B"]
    assert list(result.tables["scenarios"]["scenario"].unique()) == names
    before, text = page(out), audit_to_read(result.tables["audit"])
    assert list(text["Prior, or study"]) == [
        "arm effect",
        "without A",
        *(n for n in text["Prior, or study"][2:]),
    ]
    assert list(text["Effect on the hazard ratio"][:2]) == ["large", "large"]
    assert set(text["Effect on the hazard ratio"][2:]) == {"negligible"}
    assert 'id="audit"' in before
    for said in ("arm effect", "negligible"):
        assert said in before
        assert said in shown
    assert (
        "Of 2 stated priors, one at a time, these have more than a negligible effect: arm effect; of 2 "
        "studies, one at a time, these have more than a negligible effect: A." in before
    )
    bn.workflow.rebuild_report(out)
    assert page(out) == before
