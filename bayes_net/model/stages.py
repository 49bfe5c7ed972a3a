"""What a single-arm study may move: the level of its own curve, not the trial on whose baseline it stands.

A randomised comparison comes from randomised trials. A single-arm study has no control arm that would tell a
different treatment effect from different patients, so that its curve takes part after the trials have spoken:
a cut (Plummer 2015, doi:10.1007/s11222-014-9503-z).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bayes_net.errors import InputError, listed
from bayes_net.model.participants import Participants
from bayes_net.model.priors import FULL


def conditional(network: Any) -> tuple[tuple[str, str], ...]:
    """Endpoint and study of every single-arm study on the baseline of a trial that compares the arms; none
    where studies feed back, as they do where levels do not differ (``full``)."""
    a, compared = network.assumptions, network.comparative
    if a.feedback or a.study_level.kind == FULL:
        return ()
    return tuple(
        (endpoint, study)
        for endpoint, study in network.borrowers
        if (endpoint, study) not in compared and (endpoint, network.baseline_study(study)) in compared
    )


def first_stage(network: Any) -> Any:
    """The network without the curves of these studies.

    Raises
    ------
    InputError
        A point of such a curve is correlated with a number of another.
    """
    kept, pairs = ~network.of_curves(network.conditional), network.conditional
    _check_separate(network)
    cohorts = [_without_curve(c) if (c.endpoint, c.study) in pairs else c for c in network.cohorts]
    return replace(
        network,
        rows=network.rows[kept].reset_index(drop=True),
        data=tuple(one for one, stays in zip(network.data, kept, strict=True) if stays),
        power=network.power[kept],
        cohorts=tuple(c for c in cohorts if c.person_time.any() or c.exposure is not None),
    )


def _without_curve(cohort: Participants) -> Participants:
    return replace(cohort, events=0.0 * cohort.events, person_time=0.0 * cohort.person_time)


def _check_separate(network: Any) -> None:
    for pair in network.conditional:
        own = network.of_curves([pair])
        shared = network.precision[np.ix_(own, ~own)].any(axis=1)
        if shared.any():
            raise InputError(
                f"{listed(network.rows['id'][own][shared])} of {pair[1]} are correlated with numbers of "
                "another curve or study; expected none, as a single-arm study's level is drawn given all "
                "else. Leave the correlation out, or let studies feed back (borrowing.level.feedback = true)"
            )
