"""What a synthetic cohort is drawn from: the virtual trials' parameters, or some of them as one likes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from bayes_net.errors import InputError, listed
from bayes_net.schema import NO_LIMIT
from bayes_net.simulate.ensemble import virtual_trials
from bayes_net.simulate.printed import PRINTED
from bayes_net.simulate.trials import LOG, LOGIT, PRIORS

SEEN_AT_ONCE: Mapping[str, float] = MappingProxyType(
    {"months": 0.0, "months_spread": 0.0, "growth": 0.0, "noise": 0.0, "prompt": 1.0, "death": 0.0}
)


@dataclass(frozen=True)
class SimulationPlan:
    """What a synthetic cohort is drawn from; pairs are (control, 177Lu-DOTATATE).

    Unless changed, parameters are the matched draw of ``virtual_trials()`` whose trials are on average the
    nearest to what NETTER-1 printed, but for the slopes, see ``printed_slopes``.
    """

    arms: tuple[str, str] = ("control", "177Lu-DOTATATE")
    """The reference arm first."""
    patients: tuple[int, int] = (114, 117)
    """Randomised (Pavel 2025, 3.1)."""
    slope: tuple[float, float] | None = None
    """Log hazard ratio of progression per 10 points of a patient's final shrinkage, which a landmark sees in
    part; None: ``printed_slopes()``."""
    seen_at_once: bool = False
    """Every scan shows the final shrinkage, without noise; progression is seen when it happens; nobody dies
    before it. ``slope`` is then the truth of the landmark model at every landmark."""
    parameters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Others that are to be changed, by their names in ``virtual_trials().arm("control").parameters``."""
    os_medians: tuple[float, float] | None = (36.3, 48.0)
    """Median overall survival in months (Strosberg 2021): what the hazard of death after progression is
    solved from; None: that hazard is the one before progression."""
    baseline_mm: tuple[float, float] = (80.0, 0.5)
    """Median and log-SD of the lognormal baseline sum of diameters (assumption)."""

    def __post_init__(self) -> None:
        if len(set(self.arms)) != 2 or len(self.patients) != 2 or min(self.patients) < 1:
            raise InputError(
                f"got arms {self.arms} of {self.patients} patients; expected two arms of at least one patient"
            )
        if not all(0 < months < math.inf for months in (*(self.os_medians or ()), *self.baseline_mm)):
            raise InputError(
                f"got os_medians {self.os_medians} and baseline_mm {self.baseline_mm}; "
                "expected numbers above 0"
            )
        if unknown := [name for name in self.parameters if name not in PRIORS or name == "slope"]:
            known = listed((name for name in PRIORS if name != "slope"), limit=len(PRIORS))
            raise InputError(
                f"unknown parameters {listed(unknown)}; expected {known}; slope is an argument of its own"
            )
        for name, pair in self._changes().items():
            if problem := _impossible(name, pair):
                raise InputError(f"{name} is {pair}; expected two {problem}, (control, 177Lu-DOTATATE)")

    def law(self, arm: int) -> dict[str, float]:
        """All parameters of the arm at this place, by name."""
        drawn = list(virtual_trials().arms.values())[arm].nearest
        once = SEEN_AT_ONCE if self.seen_at_once else {}
        return {**drawn, **once, **{name: pair[arm] for name, pair in self._changes().items()}}

    def _changes(self) -> dict[str, tuple[float, float]]:
        return {**self.parameters, "slope": printed_slopes() if self.slope is None else self.slope}


def printed_slopes() -> tuple[float, float]:
    """Log hazard ratios of progression per 10 points of final shrinkage, (control, 177Lu-DOTATATE).

    Control: what is printed at "no limit", less its guarantee-time bias, over the part of the slope that
    arrives there, both of the virtual trials. 177Lu: 0, since its hazard ratios were about 1.0 at every
    landmark (Pavel 2025, 3.3).
    """
    control = virtual_trials().arm("control")
    printed = PRINTED["control"][f"log hazard ratio, {NO_LIMIT}"].value
    return (printed - control.bias.value) / control.carried(NO_LIMIT).value, 0.0


def _impossible(name: str, pair: tuple[float, float]) -> str:
    """What the two values of a parameter have to be, if they are not."""
    scale = PRIORS[name].scale
    low, high = {LOG: (0.0, np.inf), LOGIT: (0.0, 1.0)}.get(scale, (-np.inf, np.inf))
    if np.shape(pair) == (2,) and all(low <= value <= high and math.isfinite(value) for value in pair):
        return ""
    return {LOG: "numbers of 0 or more", LOGIT: "shares between 0 and 1"}.get(scale, "finite numbers")
