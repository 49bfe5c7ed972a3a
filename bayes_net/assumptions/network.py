"""What informs what in a synthesis: parameters, curves and rows as labelled arrays; nothing here needs PyMC.

A *curve* is the survival of one arm of one study; its log hazard is that of the study's baseline, plus
the arm's effect, plus the level of a study that leans on another's baseline. Curves are marginal over
shrinkage, as Kaplan-Meier curves and hazard ratios of arms are; what they are given a shrinkage follows
by quadrature (``conditional``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayes_net.assumptions.hazard import walk_basis
from bayes_net.assumptions.participants import Participants, check_inputs, conditional, first_stage
from bayes_net.assumptions.shrinkage import Shrinkage
from bayes_net.assumptions.statements import Factors, Statements, Whitening, se_factors, statements, whitening
from bayes_net.assumptions.synthesis import Assumptions
from bayes_net.assumptions.variables import Free, network_variables
from bayes_net.data.intervals import person_time
from bayes_net.errors import InputError, listed
from bayes_net.evidence.table import NUMBERS
from bayes_net.schema import NO_LIMIT, POINTS_PER_UNIT
from bayes_net.statistics.base import Datum, Quantity
from bayes_net.statistics.kinds import KINDS, datum, names_of

Curve = tuple[str, str, str]
"""Endpoint, study, arm."""
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Network:
    """Everything that a synthesis model is built from.

    ``rows`` are the published numbers that enter the likelihood, ``data`` what each is on its modelling
    scale, ``power`` the weight of each (0 removes it), ``cohorts`` the patients.
    """

    assumptions: Assumptions
    rows: pd.DataFrame
    data: tuple[Datum, ...]
    power: np.ndarray
    cohorts: tuple[Participants, ...] = ()

    # --- labels -------------------------------------------------------------------------------------

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Every curve that a row or a cohort is about, that of the study on whose baseline it stands, and the
        other arm wherever the arms are compared."""
        found = [
            *self.curve_rows,
            *((c.endpoint, c.study, arm) for c, arm in self._followed if c.events.size),
        ]
        known = dict.fromkeys(found)
        for endpoint, study, _ in found:
            for own in dict.fromkeys((study, self.baseline_study(study))):
                arms = self.assumptions.arms if (endpoint, own) in self.effects else self.assumptions.arms[:1]
                if own != study or len(arms) > 1:
                    known |= dict.fromkeys((endpoint, own, arm) for arm in arms)
        return tuple(known)

    @cached_property
    def _followed(self) -> list[tuple[Participants, str]]:
        """Cohorts and their arms with patients followed from randomisation."""
        return [
            (cohort, arm)
            for cohort in self.cohorts
            for arm, months in zip(self.assumptions.arms, cohort.person_time.sum(1), strict=True)
            if months
        ]

    def baseline_study(self, study: str) -> str:
        """The study whose baseline a study's curves stand on."""
        own = (self.assumptions.reference, *self.assumptions.own_baseline)
        return study if study in own else self.assumptions.reference

    @cached_property
    def curve_rows(self) -> tuple[Curve, ...]:
        """The curve of every row that is a point of one, in the order of the rows."""
        return tuple((row.endpoint, row.study, row.arm) for row in self.about(Quantity.CURVE))

    @cached_property
    def curve_months(self) -> np.ndarray:
        """Months that each of these rows has spent in each interval, (row, interval)."""
        times = [d.time for d, use in zip(self.data, self.is_of(Quantity.CURVE), strict=True) if use]
        return self.months(np.array(times))

    @property
    def has_curve_patients(self) -> bool:
        """Whether patients are followed from randomisation."""
        return any(cohort.person_time.any() for cohort in self.cohorts)

    @cached_property
    def effects(self) -> tuple[Pair, ...]:
        """Endpoint and study of every comparison of the arms."""
        reference, found = self.assumptions.arms[0], []
        for row in self.records:
            quantity = KINDS[row.statistic].quantity
            if quantity is Quantity.ARM_EFFECT:
                found.append((row.endpoint, row.study))
            elif quantity is Quantity.CURVE and row.arm != reference:
                found.append(self.effect_of(row.endpoint, row.study))
        found += [self.effect_of(c.endpoint, c.study) for c, arm in self._followed if arm != reference]
        return tuple(dict.fromkeys(found))

    def effect_of(self, endpoint: str, study: str) -> Pair:
        """The comparison that the treated arm of a study follows: its own where it has one, else that of the
        study on whose baseline it stands."""
        return (endpoint, study if (endpoint, study) in self.comparative else self.baseline_study(study))

    @cached_property
    def comparative(self) -> set[Pair]:
        """Endpoint and study of every comparison of arms within a study."""
        found = {(row.endpoint, row.study) for row in self.about(Quantity.ARM_EFFECT)}
        arms = {*self.curve_rows, *((c.endpoint, c.study, arm) for c, arm in self._followed)}
        of = [curve[:2] for curve in arms]
        return found | {pair for pair in of if of.count(pair) > 1}

    @cached_property
    def effect_endpoints(self) -> tuple[str, ...]:
        """Endpoints with a comparison of the arms."""
        return tuple(dict.fromkeys(endpoint for endpoint, _ in self.effects))

    @property
    def pools_effects(self) -> bool:
        """Whether several studies compare the arms for one endpoint."""
        return len(self.effects) > len(self.effect_endpoints)

    @cached_property
    def baselines(self) -> tuple[Pair, ...]:
        """Endpoint and study of every baseline hazard."""
        return tuple(dict.fromkeys((e, self.baseline_study(study)) for e, study, _ in self.curves))

    @cached_property
    def borrowers(self) -> tuple[Pair, ...]:
        """Endpoint and study of every curve that stands on another study's baseline."""
        own = ((e, study) for e, study, _ in self.curves if study != self.baseline_study(study))
        return tuple(dict.fromkeys(own))

    @cached_property
    def conditional(self) -> tuple[Pair, ...]:
        """Endpoint and study of every curve that moves nothing but its own level (``participants``)."""
        return conditional(self)

    @cached_property
    def first_stage(self) -> Network:
        """The network without these curves: what is sampled, before their levels are drawn given it."""
        return first_stage(self) if self.conditional else self

    def of_curves(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Which rows are points of curves of these endpoints and studies, (row,)."""
        own = [pair in pairs for pair in zip(self.rows["endpoint"], self.rows["study"], strict=True)]
        return self.is_of(Quantity.CURVE) & np.array(own, bool)

    @cached_property
    def slope_endpoints(self) -> tuple[str, ...]:
        """Endpoints with slopes of shrinkage, in each arm at each landmark."""
        endpoints = [row.endpoint for row in self.about(Quantity.SLOPE)]
        return tuple(dict.fromkeys([*endpoints, *(c.endpoint for c in self.landmark_cohorts)]))

    @cached_property
    def slope_studies(self) -> set[Pair]:
        """Endpoint and study of all that says something of slopes."""
        printed = {(row.endpoint, row.study) for row in self.about(Quantity.SLOPE)}
        return printed | {(c.endpoint, c.study) for c in self.landmark_cohorts}

    @cached_property
    def landmarks(self) -> tuple[str, ...]:
        """Labels of the landmarks, "no limit" among them."""
        return tuple(landmark.label for landmark in self.assumptions.landmarks)

    def slope_place(self, endpoint: str, arm: str, landmark: str) -> tuple[int, int, int]:
        """Where a slope stands in an array (endpoint, arm, landmark)."""
        arms = self.assumptions.arms
        return self.slope_endpoints.index(endpoint), arms.index(arm), self.landmarks.index(landmark)

    @cached_property
    def biased_slopes(self) -> tuple[Pair, ...]:
        """Endpoint and arm of every slope whose printed "no limit" value carries a bias term."""
        printed = ((r.endpoint, r.arm) for r in self.about(Quantity.SLOPE) if r.landmark == NO_LIMIT)
        return tuple(pair for pair in dict.fromkeys(printed) if pair[1] in self.assumptions.bias)

    @cached_property
    def landmark_cohorts(self) -> tuple[Any, ...]:
        """Those ``Participants`` that have patients at a landmark."""
        return tuple(c for c in self.cohorts if c.exposure is not None)

    @cached_property
    def strata(self) -> tuple[Curve, ...]:
        """Endpoint, study and arm of the patients at a landmark."""
        return tuple((c.endpoint, c.study, a) for c in self.landmark_cohorts for a in self.assumptions.arms)

    def groups(self, endpoint: str) -> tuple[Pair, ...]:
        """Study and arm of every count of ``endpoint``: response, or shrinkage."""
        own = (row for row in self.about(Quantity.SHARE) if row.endpoint == endpoint)
        return tuple(dict.fromkeys((row.study, row.arm) for row in own))

    @cached_property
    def shrinkage(self) -> Shrinkage:
        """The laws of best shrinkage."""
        return Shrinkage(self.assumptions, self.rows, self.data)

    @cached_property
    def pooled_responses(self) -> np.ndarray:
        """Which response groups are of the last arm, and so exchangeable between studies."""
        return np.array([arm == self.assumptions.arms[-1] for _, arm in self.groups("response")], bool)

    def is_of(self, quantity: Quantity) -> np.ndarray:
        """Which rows inform ``quantity``, (row,)."""
        return self.rows["statistic"].isin(names_of(quantity)).to_numpy()

    def about(self, quantity: Quantity) -> list:
        """The ``records`` that inform ``quantity``."""
        return [row for row in self.records if KINDS[row.statistic].quantity is quantity]

    @cached_property
    def records(self) -> tuple[Any, ...]:
        """The rows as tuples, with the names of the columns."""
        return tuple(self.rows.itertuples())

    # --- numbers ------------------------------------------------------------------------------------

    @cached_property
    def basis(self) -> np.ndarray:
        """From steps to a random walk, (interval, boundary)."""
        return walk_basis(np.array(self.assumptions.cuts))

    @cached_property
    def landmark_basis(self) -> np.ndarray:
        """The same for the patients after their landmark."""
        return walk_basis(self.landmark_cohorts[0].exposure.cuts)

    @property
    def n_intervals(self) -> int:
        """Number of intervals of every curve."""
        return len(self.assumptions.cuts) + 1

    @cached_property
    def slope_shares(self) -> np.ndarray:
        """How much of an arm's mean slope each landmark has, (arm, landmark)."""
        return self.assumptions.slopes.shares(self.assumptions.arms, self.assumptions.landmarks)

    @cached_property
    def slope_factor(self) -> np.ndarray:
        """Factor F of the slopes' prior covariance F F', (landmark, landmark)."""
        return np.linalg.cholesky(
            self.assumptions.slopes.covariance(self.assumptions.landmarks)
            + 1e-10 * np.eye(len(self.landmarks))
        )

    @cached_property
    def precision(self) -> np.ndarray:
        """Precision matrix of the standardised residuals of all numbers in print, zero where a row has power
        0. A power a divides a standard error by sqrt(a), so the precision is multiplied by a."""
        return self.whitening.root.T @ self.whitening.root

    @cached_property
    def statements(self) -> Statements:
        """What is said of estimates that are not printed."""
        return statements(self.rows, self.data, self.power)

    @cached_property
    def whitening(self) -> Whitening:
        """How the errors of all normal rows are made of independent ones."""
        return whitening(self.rows, self.data, self.power, self.statements)

    @cached_property
    def factors(self) -> Factors:
        """The law of the factors on uncertain standard errors of what is not printed."""
        return se_factors(self.rows, self.data, self.power)

    def months(self, times: np.ndarray) -> np.ndarray:
        """Months that each time has spent in each interval, (time, interval)."""
        return person_time(np.asarray(times, float), np.array(self.assumptions.cuts))

    def with_power(self, power: Mapping[str, float]) -> Network:
        """The same network with other weights of some rows, by id; of all else it keeps the shapes."""
        ids = list(self.rows["id"])
        unknown = [name for name in power if name not in ids]
        if unknown:
            raise InputError(
                f"rows {listed(unknown)} are not in the network; expected some of {listed(ids, limit=40)}"
            )
        values = self.power.copy()
        for name, value in power.items():
            if not 0 <= value <= 1:
                raise InputError(f"power {value} of row {name} is not usable; expected a number from 0 to 1")
            values[ids.index(name)] = value
        return replace(self, power=values)

    def with_rows(self, rows: pd.DataFrame, *, power: float = 1.0) -> Network:
        """The same network with further rows of weight ``power`` (columns that they lack are empty)."""
        key = ["study", "arm", "endpoint"]
        known = set(self.rows.loc[self.is_of(Quantity.SHARE), key].itertuples(index=False, name=None))
        twice = rows[[tuple(row) in known for row in rows[key].to_numpy()]]
        if len(twice):
            raise InputError(
                f"{listed(twice['id'])}: published numbers count the same patients of the same study and "
                'arm. Give those use = "check", or count the patients once (counts = false)'
            )
        if len(taken := rows.loc[rows["id"].isin(self.rows["id"]), "id"]):
            raise InputError(
                f"rows {listed(taken)} are in the network already: names of other studies or arms join to "
                "the same id; expected other names (arm_names), or patients counted once (counts = false)"
            )
        more = rows.reindex(columns=self.rows.columns)
        texts = [c for c in more if c not in NUMBERS]
        more[texts] = more[texts].fillna("")
        check_inputs(more, self.assumptions, ())
        joined = more if not len(self.rows) else pd.concat([self.rows, more], ignore_index=True)
        data = (*self.data, *(datum(row) for row in more.itertuples()))
        return replace(self, rows=joined, data=data, power=np.append(self.power, np.full(len(more), power)))

    @cached_property
    def bias_prior(self) -> np.ndarray:
        """Mean and SD of the bias per 10 points, (biased slope, 2), scaled."""
        pairs = [self.assumptions.bias[arm] for _, arm in self.biased_slopes]
        return POINTS_PER_UNIT * self.assumptions.bias_scale * np.array(pairs).reshape(-1, 2)

    @cached_property
    def free(self) -> dict[str, Free]:
        """Every free variable by name, in the order in which draws of the prior are made."""
        return network_variables(self)
