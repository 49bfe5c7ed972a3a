"""What is declared once is not named by what goes through the declarations."""

import re
from pathlib import Path

import bayes_net as bn

PACKAGE = Path(bn.__file__).parent
NAMES = re.compile("slope_by_interval|slope_step_sd|slope_intervals|time.varying|by_time", re.IGNORECASE)
ALLOWED = [
    *("assumptions.hazard", "assumptions.priors", "model.hazard", "estimands.ratios"),
    *("specification.priors", "figures.captions", "figures.plots", "schema", "engine.layout"),
]
"""Named, declared, defined, estimated, stated and drawn; and laid out and compiled for PyMC."""


def test_a_slope_that_varies_over_time_is_named_where_it_is_declared_and_defined():
    """Tables, report, audit, description, starting points and the engine walk over what is declared."""
    naming = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if NAMES.search(path.read_text(encoding="utf-8"))
    }
    assert "assumptions.hazard" in naming
    assert naming <= set(ALLOWED)
