"""Every scenario is drawn."""

import numpy as np
import pandas as pd
from scenario_plans import CHANGES, invented

from bayes_net.figures.scenarios import draw_scenarios, heat_map, specification_curve, tornado


def test_the_figures_draw_every_scenario():
    above, below = specification_curve(invented(), CHANGES)
    assert len([line for line in above.lines if line.get_gid() == "hr"]) == 6
    assert [text.get_text() for text in below.get_yticklabels()] == ["x: 1", "x: 2", "y: 1"]
    own = invented()[lambda t: t["arm"] == "A"]
    bars = [line.get_xdata() for line in tornado(own).lines if line.get_gid() == "bar"]
    np.testing.assert_allclose(bars, [[0.7, 1.2], [0.7, 0.6]])
    cells = pd.DataFrame([[0.8, np.nan], [1.2, 1.0]], index=["a", "b"], columns=["c", "d"])
    drawn = [text.get_text() for text in heat_map(cells).texts if text.get_gid() == "cell"]
    assert drawn == ["0.80", "–", "1.20", "1.00"]
    names = [name for name, *_ in draw_scenarios(invented(), CHANGES)]
    assert names == ["specification_curve_pfs", "heat_map_pfs_1", "heat_map_pfs_2"]
    single = CHANGES[CHANGES["key"] == "p.x"]
    assert "tornado_pfs_1" in [name for name, *_ in draw_scenarios(invented(), single)]
