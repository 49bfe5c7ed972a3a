"""Landmarks together, as a run tells of them: of which arms nothing is said."""

import numpy as np
import pytest
from exposures import patients

import bayes_net as bn
from bayes_net.results.fits import Job
from bayes_net.results.states import FEWEST_EVENTS, _tells


@pytest.mark.parametrize(
    ("events", "scores", "tells"),
    [(FEWEST_EVENTS, 1.0, True), (FEWEST_EVENTS - 1, 1.0, False), (0, 1.0, False), (30, 0.0, False)],
)
def test_an_arm_needs_events_and_patients_who_differ_to_be_put_together(events, scores, tells):
    """The influence of the patients of such an arm on its slope says that it is known better than it is."""
    whole = patients(n=80, seed=4)
    first = whole.arm == 0
    event = np.where(first, np.cumsum(first) <= events, 1.0).astype(float)
    score = np.where(first, 2.0 + scores * whole.score, whole.score)
    data = bn.Exposure(whole.time, event, whole.arm, score, np.empty((80, 0)), whole.cuts, whole.arms)
    at = bn.data.Landmark("150 d", 5.0, 5.0)
    job = Job("pfs", "pfs risk set", at, data.measure, data)
    assert (_tells(job, 0), _tells(job, 1)) == (tells, True)
