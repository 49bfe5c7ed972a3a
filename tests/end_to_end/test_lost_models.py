"""A model that cannot be sampled fails the gate, and loses no other."""

import pytest
from command_line import invoke
from small_trial import QUICK, written

import bayes_net as bn
import bayes_net.inference.patients as patients
from bayes_net.errors import InputError
from bayes_net.results.folder import read_result


@pytest.fixture
def stuck(monkeypatch):
    """Chains that never start, of the models with so many patients or fewer."""
    whole = patients.fit

    def install(most):
        def fit(data, *arguments, **options):
            if data.n <= most:
                raise RuntimeError("All initialization points failed")
            return whole(data, *arguments, **options)

        monkeypatch.setattr(patients, "fit", fit)

    return install


def test_the_others_are_kept_and_the_outputs_marked(stuck, tmp_path):
    spec = written(tmp_path, **QUICK)
    jobs = bn.prepare(bn.read_specification(spec)).jobs
    fewest = min(job.data.n for job in jobs)
    stuck(fewest)
    code, _, error = invoke("run", spec, "--out", tmp_path / "found")
    assert code == 3
    assert "All initialization points failed" in error
    found = read_result(tmp_path / "found")
    kept = {job.landmark.label for job in jobs if job.data.n > fewest}
    assert set(found.tables["hazard_ratios"]["landmark"]) == kept != {job.landmark.label for job in jobs}
    lost = found.tables["diagnostics"].query("check == 'sampling'")
    assert len(lost) == sum(job.data.n == fewest for job in jobs)
    assert "GATE FAILED" in (tmp_path / "found" / "report.html").read_text("utf-8")


def test_without_any_the_reason_is_said(stuck, tmp_path):
    stuck(10**6)
    with pytest.raises(
        InputError, match=r"no model could be sampled: PFS, .*All initialization points failed"
    ):
        bn.run(bn.read_specification(written(tmp_path, **QUICK)))
