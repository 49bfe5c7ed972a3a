"""Whatever stands in the cells of published numbers, they are evidence or refused in words."""

import csv

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_evidence import (
    COMMON,
    COUNT,
    LOG_SE,
    MEAN,
    MEDIAN,
    ODDS,
    RATIO,
    RULE,
    SAID,
    SHRUNK,
    SLOPE,
    SURVIVAL,
)

from bayes_net.evidence.table import COLUMNS, Evidence, EvidenceError, read_evidence
from bayes_net.statistics.kinds import datum

KINDS = (MEDIAN, SURVIVAL, RATIO, SLOPE, COUNT, SHRUNK, ODDS, MEAN, SAID, LOG_SE, RULE)
ODD = [
    "NR", ">=30", "0.5;0.5", "", "nan", "inf", "-inf", "1e400", "-1", "0", "1e-400", "1e308", "1_000", "٣",
    "½", "\u2212", "1,5", "sNaN", "1e999999999", "1e-999999999", "R1", "R2", "R1;R1", "R2;R3", ";", "<",
    ">", "<>", "<0.0", "<inf", ">=-20,<30", "150d", "no limit", "curve", "arms", "\x01", "Infinity",
    "0x10", "SE 0.0", "SE nan", "significant", "not significant", "above R2", "above R1", "about 1.0",
    "if significant", "1e300", "100", "99.999999999999999",
]  # fmt: skip
ODD += ["9" * 4000, "9" * 4000 + "y", "0." + "0" * 4000 + "1", "x" * 300]
WORDS = st.sampled_from(ODD)
TEXTS = WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.floats().map(str)
ROWS = st.builds(
    lambda kind, changes: kind | changes,
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(COLUMNS), TEXTS, max_size=3),
)
FEW = settings(deadline=5000, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_any_text_in_any_cell_is_evidence_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows({"id": f"R{i}"} | COMMON | row for i, row in enumerate(rows, 1))
    try:
        found = read_evidence(path)
    except EvidenceError:
        return
    assert isinstance(found, Evidence)
    assert len(found.digest) == 64
    assert "published number" in found._repr_html_()
    for row in found.rows("likelihood").itertuples():
        datum(row)
