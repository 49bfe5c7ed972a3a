"""Why what NETTER-1 says of two groups by shrinkage (N46) is kept for the record, and is no evidence."""

from math import log, sqrt

import numpy as np
import pytest

from bayes_net.evidence.table import read_evidence
from bayes_net.simulate.trials import cox, draw, parameters, risk_sets
from bayes_net.tables.shipped import models_folder

CRITICAL = 1.959963984540054


@pytest.fixture(scope="module")
def rows():
    return read_evidence(models_folder() / "data" / "netter1.csv").table.set_index("id")


def test_limits_of_medians_that_overlap_are_no_test_at_five_percent(rows):
    """Limits overlap as long as |z| is below 1.96 (se1 + se2) / sqrt(se1² + se2²)."""
    medians = [rows.loc[name] for name in ("N08", "N09")]
    assert medians[0]["upper"] > medians[1]["lower"]
    errors = [log(row["upper"] / row["lower"]) / (2 * CRITICAL) for row in medians]
    apart = sqrt(errors[0] ** 2 + errors[1] ** 2)
    assert CRITICAL * sum(errors) / apart == pytest.approx(2.75, abs=0.05)
    assert log(medians[1]["value"] / medians[0]["value"]) / apart == pytest.approx(1.8, abs=0.05)


def test_it_is_for_the_record_and_what_it_is_inferred_from_is_held_out(rows):
    assert dict(rows.loc[["N46", "N08", "N09", "N12"], "use"]) == {
        "N46": "record", "N08": "check", "N09": "check", "N12": "likelihood",
    }  # fmt: skip


def test_given_the_estimate_per_point_groups_of_the_same_patients_tell_next_to_nothing_more():
    """Trials with slopes 0.4 apart: squared distances of means, in standard deviations, are information."""
    rng, n, found = np.random.default_rng(3), 400, []
    for slope in (-0.2, 0.2):
        p = parameters(np.zeros((n, 16))) | {"slope": np.full((n, 1), slope)}
        trials = draw(p, 102, rng)
        best, entered = risk_sets(trials)
        about = trials.pfs, trials.event, entered[-1]
        per_10, groups = (cox(x, *about)[0] for x in (best[-1], 10.0 * (best[-1] >= 30)))
        found.append(np.stack([per_10, groups])[:, ~np.isnan(per_10 + groups)])
    low, high = found
    by = np.mean([np.cov(each)[0, 1] / np.var(each[0]) for each in found])
    more = [each[1] - by * each[0] for each in found]
    apart = (high[0].mean() - low[0].mean()) / low[0].std()
    beyond = (more[1].mean() - more[0].mean()) / more[0].std()
    assert apart > 3
    assert beyond**2 < 0.05 * apart**2
