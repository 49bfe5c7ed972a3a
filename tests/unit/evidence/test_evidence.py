"""Evidence files: what is read, what is refused and how it is told, and the numbers that are shipped."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_net.cli.check import examine
from bayes_net.evidence.pairs import declared_correlations
from bayes_net.evidence.table import COLUMNS, REQUIRED, Evidence, EvidenceError, read_evidence
from bayes_net.statistics.kinds import datum

DATA = Path(__file__).resolve().parents[3] / "models" / "data"
FILES = [DATA / f"{name}.csv" for name in ("netter1", "mid_treatment", "dosimetry")]
PER_POINT = "per +1 point of shrinkage"

COMMON = {"study": "A", "cohort_id": "A", "arm": "new", "subgroup": "all", "endpoint": "pfs", "level": "95"}
COMMON |= {"use": "likelihood", "source": "Author 2020, Journal", "section": "3"}
MEDIAN = {
    "statistic": "median",
    "value": "10.0",
    "lower": "8.0",
    "upper": "13.0",
    "n": "50",
    "unit": "months",
}
SURVIVAL = {"statistic": "survival", "value": "0.40", "lower": "0.25", "upper": "0.55", "time": "20"}
RATIO = {
    "statistic": "hazard ratio",
    "value": "0.50",
    "lower": "0.30",
    "upper": "0.83",
    "reference_arm": "old",
}
SLOPE = {"statistic": "hazard ratio per point", "value": "0.95", "lower": "0.90", "upper": "1.00"}
SLOPE |= {"unit": PER_POINT, "landmark": "150d"}
COUNT = {"statistic": "count", "endpoint": "response", "value": "5", "n": "20", "unit": "patients"}
SHRUNK = COUNT | {"endpoint": "shrinkage", "threshold": "30"}
ODDS = {"statistic": "odds ratio", "endpoint": "completion", "value": "4.0", "p": "0.01"}


@pytest.fixture
def write(tmp_path):
    def writer(*rows, name="made.csv", columns=COLUMNS, encoding="utf-8"):
        path = tmp_path / name
        with path.open("w", newline="", encoding=encoding) as file:
            table = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
            table.writeheader()
            table.writerows(
                {"id": f"R{i}"} | COMMON | ({"level": ""} if "lower" not in row else {}) | row
                for i, row in enumerate(rows, 1)
            )
        return path

    return writer


@pytest.fixture(scope="module")
def shipped():
    return read_evidence(*FILES)


def test_a_row_of_every_kind_is_accepted(write):
    found = read_evidence(
        write(
            *(MEDIAN, MEDIAN | {"arm": "old"}, RATIO | {"endpoint": "os"}, SLOPE, COUNT, SHRUNK, ODDS),
            SURVIVAL | {"endpoint": "os"},
            {
                "statistic": "median",
                "value": "",
                "lower": "30",
                "n": "18",
                "cohort_id": "B",
                "unit": "months",
            },
            {"statistic": "log effect", "value": "-0.4", "lower": "-0.7", "upper": "-0.1", "cohort_id": "B"},
            {"statistic": "anything", "value": "0.18", "unit": "%", "use": "record"},
            encoding="utf-8-sig",
        )
    )
    assert list(found.table.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert found.table["value"].dtype == float
    assert str(found) == "11 published numbers (10 likelihood, 0 check, 1 record) of A"
    assert [datum(one).kind for one in found.rows("likelihood").itertuples()].count("binomial") == 2


MEAN = {
    "statistic": "restricted mean",
    "value": "10.0",
    "lower": "9.0",
    "upper": "11.0",
    "time": "24",
    "unit": "months",
}
SAID = {"statistic": "hazard ratio per point", "said": "not significant", "se": "0.02", "landmark": "36w"}
SAID |= {"unit": PER_POINT}
RULE = RATIO | {"publishing": "if significant"}
LOG_SE = {"statistic": "log effect with SE", "value": "-0.4", "reference_arm": "old", "unit": "SE 0.21"}
REFUSED = {
    "use": (MEDIAN | {"use": "likelyhood"}, "unknown use", "use likelyhood"),
    "endpoint": (MEDIAN | {"endpoint": "PFS2"}, "unknown endpoint", "endpoint PFS2"),
    "statistic": (MEDIAN | {"statistic": "rate"}, "unknown statistic", "use = record"),
    "subgroup": (MEDIAN | {"subgroup": "responders"}, "unknown subgroup", ">=30"),
    "subgroup without a number": (MEDIAN | {"subgroup": ">=-20,<"}, "unknown subgroup", ">=-20,<30"),
    "subgroup the wrong way round": (MEDIAN | {"subgroup": "<30,>=-20"}, "unknown subgroup", ">=-20,<30"),
    "subgroup of nobody": (MEDIAN | {"subgroup": ">=30,<-20"}, "unknown subgroup", ">=-20,<30"),
    "cohort": (MEDIAN | {"cohort_id": ""}, "no study, cohort_id or arm", "cohort_id empty"),
    "source": (MEDIAN | {"source": ""}, "no source or section", "source empty"),
    "section": (MEDIAN | {"section": ""}, "no source or section", "section empty"),
    "outside": (MEDIAN | {"value": "14.0"}, "outside its limits", "value 14.0"),
    "order": (MEDIAN | {"lower": "13.0", "upper": "8.0"}, "limits out of order", "lower 13.0"),
    "one limit": (RATIO | {"upper": ""}, "one limit without the other", "both limits"),
    "no value": (RATIO | {"value": ""}, "no value", "value empty"),
    "level": (RATIO | {"level": "0.95"}, "unknown level", "in percent"),
    "negative ratio": (RATIO | {"value": "-0.69", "lower": "-1.2"}, "0 or less", "log effect with SE"),
    "zero limit": (RATIO | {"lower": "0"}, "0 or less", "lower 0"),
    "zero median": (MEDIAN | {"value": "0", "lower": ""}, "0 or less", "medians above 0"),
    "median without n": (MEDIAN | {"n": ""}, "median without its number of patients", "floor"),
    "median in weeks": (MEDIAN | {"unit": "weeks"}, "another unit", "months"),
    "percent survival": (SURVIVAL | {"value": "40", "lower": "25", "upper": "55"}, "no probability", "100"),
    "survival without time": (SURVIVAL | {"time": ""}, "no time", "months at which"),
    "survival without limits": (SURVIVAL | {"lower": "", "upper": ""}, "S(t) without limits", "record"),
    "mean without horizon": (MEAN | {"time": ""}, "no horizon", "time empty"),
    "mean beyond its horizon": (MEAN | {"time": "9"}, "no mean of survival up to its horizon", "time 9"),
    "mean without limits": (MEAN | {"lower": "", "upper": ""}, "restricted mean without limits", "record"),
    "mean in years": (MEAN | {"unit": "years"}, "another unit", "months"),
    "no reference arm": (RATIO | {"reference_arm": ""}, "without a reference arm", "reference_arm empty"),
    "own reference arm": (RATIO | {"reference_arm": "new"}, "without a reference arm", "another arm"),
    "no landmark": (SLOPE | {"landmark": ""}, "without its landmark", "150d"),
    "sign unknown": (SLOPE | {"unit": "per unit"}, "unclear sign or unit", "sign reversed"),
    "sign wrong": (SLOPE | {"unit": "per 10 points of shrinkage"}, "unclear sign or unit", PER_POINT),
    "no standard error": ({"statistic": "odds ratio", "value": "4.0"}, "no standard error", "p empty"),
    "bound only": (ODDS | {"p": "<0.01"}, "no standard error", "printed as a number"),
    "log effect without SE": (LOG_SE | {"unit": "log HR"}, "no standard error", "SE 0.21"),
    "log effect with SE of 0": (LOG_SE | {"unit": "SE 0.0"}, "no standard error", "unit SE 0.0"),
    "SE and limits": (LOG_SE | {"lower": "-0.7", "upper": "-0.1"}, "limits beside a standard", "log effect"),
    "uneven limits": (RATIO | {"upper": "0.88"}, "lie unevenly around the value", "say in note"),
    "percent reduction": (RATIO | {"unit": "% reduction"}, "in another unit", "change places"),
    "median without unit": (MEDIAN | {"unit": ""}, "without a unit", "never guessed"),
    "contradiction": (RATIO | {"p": "0.30"}, "contradict each other", "say in note"),
    "percentage": (COUNT | {"value": "25", "unit": "%"}, "percentage or proportion", "enter k of n"),
    "proportion": (COUNT | {"value": "0.25"}, "percentage or proportion", "enter k of n"),
    "half a patient": (COUNT | {"value": "5.5"}, "impossible count", "whole numbers"),
    "too many": (COUNT | {"value": "25"}, "impossible count", "n 20"),
    "count without n": (COUNT | {"n": ""}, "impossible count", "n empty"),
    "no threshold": (SHRUNK | {"threshold": ""}, "without its threshold", "0 for any"),
    "said and printed": (SLOPE | SAID, "a number beside a statement", "value 0.95"),
    "unknown statement": (SAID | {"said": "n.s."}, "unknown statement", "said n.s."),
    "contradiction in words": (SAID | {"said": "|z| < 1; significantly below 1"}, "contradict", "leave"),
    "statement without SE": (SAID | {"se": ""}, "without a standard error", "events and sd"),
    "statement without spread": (SAID | {"se": "", "events": "30"}, "without a standard error", "sd empty"),
    "negative SE": (SAID | {"se": "-0.1"}, "an impossible standard error", "se -0.1"),
    "test of no level": (SAID | {"level": "5"}, "a test of an unknown level", "level 5"),
    "statement without landmark": (SAID | {"landmark": ""}, "without its landmark", "150d"),
    "statement on a median": (MEDIAN | SAID | {"statistic": "median"}, "a number of this kind", "record"),
    "publishing": (RULE | {"publishing": "p < 0.05"}, "unknown publishing rule", "if significant"),
    "not significant": (RULE | {"upper": "1.20"}, "because it is significant, and is not", "upper 1.2"),
    "word": (MEDIAN | {"value": "not reached"}, "value is not readable", "'not reached'"),
    "next to 0": (SURVIVAL | {"lower": "2.158e-222"}, "lower is not readable", "'2.158e-222'"),
    "p": (RATIO | {"p": "ns"}, "p is not readable", "'ns'"),
    "p above 1": (RATIO | {"p": "1.2"}, "p is not readable", "'1.2'"),
    "infinite p": (RATIO | {"p": "inf"}, "p is not readable", "'inf'"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "got", "more"), REFUSED.values(), ids=REFUSED)
def test_a_row_that_breaks_a_rule_is_named(write, row, got, more):
    with pytest.raises(EvidenceError) as caught:
        read_evidence(write(row))
    message = str(caught.value)
    for words in ("R1", got, more, "expected", "made.csv"):
        assert words in message


def test_all_problems_are_in_one_message_with_their_files(write):
    first = write(MEDIAN | {"use": "maybe"}, COUNT | {"value": "30"}, name="first.csv")
    second = write(MEDIAN | {"n": "", "cohort_id": "B"}, MEDIAN | {"id": "", "arm": "old"}, name="second.csv")
    with pytest.raises(EvidenceError) as caught:
        read_evidence(first, second)
    message = str(caught.value)
    for words in (
        "5 problems",
        "first.csv: unknown use",
        "first.csv: an impossible count",
        "second.csv: a median",
    ):
        assert words in message
    assert "second.csv: 1 rows without an id" in message
    assert "ids occur twice" in message


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            [c for c in COLUMNS if c not in ("n", "section")],
            "missing columns section; expected the",
        ),
        ([c for c in COLUMNS if c != "n"], "a median without its number of patients"),
        ([*COLUMNS, "trap"], "unknown columns trap"),
    ],
)
def test_columns_must_be_the_known_ones(write, columns, words):
    with pytest.raises(EvidenceError, match=words):
        read_evidence(write(MEDIAN, columns=columns))


def test_columns_that_no_row_needs_may_be_absent(write):
    """They are then empty, and the evidence is that of a file that has them."""
    columns = [*REQUIRED, "lower", "upper", "level", "reference_arm"]
    brief = read_evidence(write(RATIO, columns=columns))
    assert list(brief.table) == list(read_evidence(write(RATIO, name="whole.csv")).table)
    assert brief.digest == read_evidence(write(RATIO, name="whole.csv")).digest
    long = write(MEDIAN | {"cohort_id": "B", "id": "R2"}, name="long.csv")
    both = read_evidence(write(RATIO, columns=columns), long).table.set_index("id")
    assert both.loc[["R1", "R2"], "n"].tolist() == pytest.approx([math.nan, 50.0], nan_ok=True)


def test_files_must_be_there():
    with pytest.raises(EvidenceError, match=r"absent\.csv"):
        read_evidence("absent.csv")
    with pytest.raises(EvidenceError, match="no file is given"):
        read_evidence()


def test_a_note_makes_contradicting_digits_acceptable(write):
    row = RATIO | {"p": "0.30", "note": "the p-value is that of a stratified test"}
    assert len(read_evidence(write(row)).table) == 1


@pytest.mark.parametrize("note", ["142 deaths; control patients crossed over", "from the update"])
def test_a_note_on_something_else_explains_no_contradiction(write, note):
    with pytest.raises(EvidenceError, match="contradict each other"):
        read_evidence(write(RATIO | {"p": "0.30", "note": note}))
    assert len(read_evidence(write(RATIO | {"note": note})).table) == 1


REPEATED = {
    "two hazard ratios": ([RATIO, RATIO | {"value": "0.49"}], "effect of the arm on pfs"),
    "two odds ratios": ([ODDS, ODDS], "odds ratio of completion"),
    "one curve twice": ([MEDIAN, SURVIVAL], "the pfs curve of new"),
    "ratio and both curves": ([RATIO, MEDIAN, SURVIVAL | {"arm": "old"}], "control curve is there too"),
    "two slopes": ([SLOPE, SLOPE | {"landmark": "no limit"}], "the slope of pfs on shrinkage in new"),
    "whole and part": ([MEDIAN, MEDIAN | {"subgroup": "<30"}], "whole and in parts"),
    "two counts": ([COUNT, COUNT | {"value": "6"}], "same response count"),
    "one threshold twice": ([SHRUNK, SHRUNK], "same shrinkage count"),
    "thresholds of different patients": ([SHRUNK, SHRUNK | {"threshold": "0", "n": "19"}], "(20 and 19)"),
}


@pytest.mark.parametrize(("rows", "words"), REPEATED.values(), ids=REPEATED)
def test_rows_of_one_cohort_must_not_tell_the_same_twice(write, rows, words):
    with pytest.raises(EvidenceError) as caught:
        read_evidence(write(*rows))
    for expected in ("R1 and R2 of A", words, "Declare their correlation"):
        assert expected in str(caught.value)
    assert len(read_evidence(write(*({"cohort_id": f"{i}"} | row for i, row in enumerate(rows)))).table)
    held_out = [rows[0], rows[1] | {"use": "check"}, *rows[2:]]
    assert len(read_evidence(write(*held_out)).table) == len(rows)


@pytest.mark.parametrize(
    "rows",
    [
        [RATIO, SURVIVAL | {"arm": "old"}],
        [RATIO, MEDIAN | {"correlated_with": "R1", "correlation": "0.6"}, SURVIVAL | {"arm": "old"}],
        [MEDIAN, SURVIVAL | {"correlated_with": "R1", "correlation": "curve"}],
        [MEDIAN, RATIO | {"n": "100", "correlated_with": "R1", "correlation": "arms"}],
        [SLOPE, SLOPE | {"landmark": "no limit", "correlated_with": "R1", "correlation": "0.58"}],
        [MEDIAN | {"subgroup": ">=30"}, MEDIAN | {"subgroup": "<30"}],
        [SHRUNK, SHRUNK | {"threshold": "0", "value": "11"}],
        [COUNT, SHRUNK],
    ],
    ids=["one curve", "declared", "curve", "arms", "slopes", "parts", "nested", "endpoints"],
)
def test_rows_that_tell_different_things_may_stand_together(write, rows):
    assert len(read_evidence(write(*rows)).table) == len(rows)


SAID_2 = SAID | {"landmark": "48w", "correlated_with": "R1", "correlation": "0.6"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([SAID, SAID | {"landmark": "48w"}], "R1 and R2 of A both tell the slope of pfs"),
        ([SAID, SAID_2 | {"said": "above R9"}], "comparisons with no such estimate"),
        ([SAID, SAID_2 | {"said": "above R2"}], "comparisons with no such estimate"),
        ([SAID | {"said": "below R2"}, SAID_2 | {"said": "below R1"}], "comparisons in a circle"),
        ([SLOPE | {"upper": "0.99", "publishing": "if significant"}, SAID_2], "under a publishing rule"),
    ],
)
def test_statements_must_fit_other_rows(write, rows, words):
    with pytest.raises(EvidenceError) as caught:
        read_evidence(write(*rows))
    assert words in str(caught.value)
    for row in rows:
        assert (
            len(
                read_evidence(
                    write(
                        row | {"correlated_with": "", "correlation": "", "said": "|z| < 2"}
                        if "se" in row
                        else row
                    )
                ).table
            )
            == 1
        )


def slopes(*declared):
    """Three slopes of one arm with these (correlated_with, correlation)."""
    return [
        SLOPE | {"landmark": mark, "correlated_with": other, "correlation": value}
        for mark, (other, value) in zip(("150d", "36w", "no limit"), declared, strict=True)
    ]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ((("", ""), ("R1", "0.6"), ("R2", "0.7")), "correlation of R1 and R3 is missing"),
        ((("", ""), ("R1", "0.9"), ("R1;R2", "0.9;-0.9")), "R1, R2, R3 contradict each other"),
        ((("R2", "0.6"), ("R1", "0.7"), ("R1;R2", "0.5;0.5")), "declared twice"),
        ((("", ""), ("R1", "1"), ("R1;R2", "0.5;0.5")), "1 is out of range"),
        ((("", ""), ("R1", "high"), ("R1;R2", "0.5;0.5")), "'high' is none"),
        ((("", ""), ("R1", "curve"), ("R1;R2", "0.5;0.5")), "not of one curve"),
        ((("", ""), ("R1", "arms"), ("R1;R2", "0.5;0.5")), "not of the arms of one trial"),
        ((("", ""), ("R1", "0.6"), ("R1;R2", "0.5")), "without a partner"),
        ((("R1", "0.5"), ("R1", "0.6"), ("R1;R2", "0.5;0.5")), "no other row"),
    ],
)
def test_correlations_must_make_a_whole(write, declared, words):
    with pytest.raises(EvidenceError, match=words):
        read_evidence(write(*slopes(*declared)))


def test_a_complete_group_is_accepted_and_counts_have_no_correlation(write):
    assert len(read_evidence(write(*slopes(("", ""), ("R1", "0.6"), ("R1;R2", "0.5;0.7")))).table) == 3
    counts = COUNT | {"correlated_with": "R1", "correlation": "0.5"}
    with pytest.raises(EvidenceError, match="patients who are counted or ordered have none"):
        read_evidence(write(COUNT, counts))


def test_two_points_of_a_curve_at_one_time_are_refused(write):
    late = SURVIVAL | {"time": "10", "correlated_with": "R1", "correlation": "curve"}
    with pytest.raises(EvidenceError, match="not of one curve"):
        read_evidence(write(MEDIAN, late))


# --- choosing -----------------------------------------------------------------------------------------


def test_other_uses_are_chosen_together(shipped):
    chosen = shipped.choose({"N03": "record", "N04": "likelihood"})
    assert isinstance(chosen, Evidence)
    assert "N04" in set(chosen.rows("likelihood")["id"])
    assert "N03" in set(shipped.rows("likelihood")["id"])
    assert chosen.digest != shipped.digest
    assert chosen.choose({"N04": "record", "N03": "likelihood"}).digest == shipped.digest
    with pytest.raises(EvidenceError, match="N03 and N04 of NETTER-1 both tell the effect of the arm"):
        shipped.choose({"N04": "likelihood"})
    with pytest.raises(EvidenceError, match="N03 and N05 of NETTER-1"):
        shipped.choose({"N05": "likelihood"})


UNREAD = {
    "one held out": ([MEDIAN, SURVIVAL], {"use": {"R2": "check"}}, ["R1"]),
    "one kept": ([COUNT, COUNT | {"value": "25"}], {"use": {"R2": "record"}}, ["R1"]),
    "one endpoint": ([COUNT, RATIO, COUNT], {"only": ["pfs"]}, ["R2"]),
    "one endpoint, and a row": (
        [COUNT, RATIO, COUNT],
        {"only": ["pfs"], "use": {"R3": "likelihood"}},
        ["R2", "R3"],
    ),
    "a correlation": ([SLOPE, SLOPE], {"correlation": {("R1", "R2"): 0.58}}, ["R1", "R2"]),
    "a curve": ([MEDIAN, SURVIVAL], {"correlation": {("R1", "R2"): "curve"}}, ["R1", "R2"]),
    "a group": (
        [SLOPE, SLOPE, SLOPE],
        {"correlation": {("R1", "R2"): 0.5, ("R1", "R3"): 0.4, ("R3", "R2"): 0.6}},
        ["R1", "R2", "R3"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "options", "used"), UNREAD.values(), ids=UNREAD)
def test_rows_are_judged_by_what_an_analysis_makes_of_them(write, rows, options, used):
    path = write(*rows)
    with pytest.raises(EvidenceError):
        read_evidence(path)
    found = read_evidence(path, **options)
    assert list(found.rows("likelihood")["id"]) == used
    assert len(declared_correlations(found.table)) == len(options.get("correlation", ()))


def test_an_analysis_may_not_make_two_of_a_row_or_name_what_is_not_there(write):
    path = write(SLOPE, SLOPE | {"use": "record"})
    with pytest.raises(EvidenceError, match="R1 and R2 of A both tell the slope"):
        read_evidence(path, use={"R2": "likelihood"})
    with pytest.raises(EvidenceError, match=r"rows R9 are not in the evidence"):
        read_evidence(path, correlation={("R1", "R9"): 0.5})
    uneven = write(SLOPE, SLOPE | {"correlated_with": "R1;R3", "correlation": "0.5"}, name="uneven.csv")
    with pytest.raises(EvidenceError, match=r"correlations without a partner.*R2"):
        read_evidence(uneven, correlation={("R1", "R2"): 0.5})


def test_unknown_rows_and_uses_are_told(shipped):
    with pytest.raises(EvidenceError, match=r"rows N3 are not in the evidence \(did you mean .*N03"):
        shipped.choose({"N3": "check"})
    with pytest.raises(EvidenceError, match="unknown use"):
        shipped.choose({"N03": "maybe"})
    with pytest.raises(EvidenceError, match="expected one of likelihood, check, record"):
        shipped.rows("maybe")


def test_correlations_are_replaced_and_added(shipped):
    changed = shipped.correlate("N10", "N11", 0.8)
    table = changed.table.set_index("id")
    assert (table.loc["N10", "correlated_with"], table.loc["N10", "correlation"]) == ("N11", "0.8")
    assert table.loc["N11", "correlated_with"] == ""
    other = shipped.correlate("N06", "N02", "curve").choose({"N01": "record", "N06": "likelihood"})
    assert {"N02", "N06"} < set(other.rows("likelihood")["id"])
    with pytest.raises(EvidenceError, match="out of range"):
        shipped.correlate("N10", "N11", 1.2)


def test_rows_left_out_take_their_correlations_along(shipped):
    left = shipped.without(["N10"])
    assert "N10" not in set(left.table["id"])
    assert left.table.set_index("id").loc["N11", "correlated_with"] == ""
    assert len(shipped.without("N10").table) == len(left.table)
    with pytest.raises(EvidenceError, match="N99"):
        shipped.without(["N99"])


def test_the_digest_is_that_of_the_content(shipped):
    assert read_evidence(*reversed(FILES)).digest == shipped.digest
    assert shipped.without(["D05"]).digest != shipped.digest


# --- shipped numbers ----------------------------------------------------------------------------------

LIKELIHOOD = (
    "N01 N02 N03 N10 N11 N12 N14 N15 N16 N17 N18 N20 N23 N24 N25 N26 N27 N28 N29 N30 N37 N38 N39 N40 N41 N42 "
    "N43 N44 N45 H01 H04 H11 H12 D01 D04 D05 D06 D07"
)
CHECK = "N05 N08 N09 N31 N32 N33"

# row: rows of the collected numbers that it repeats, the one with the p-value last
PRINTED = {
    "N01": "S020", "N02": "S008", "N03": "S021 S022", "N04": "B038", "N05": "S007", "N06": "B021",
    "N07": "B020", "N08": "S083", "N09": "S084", "N10": "S074 S075", "N11": "S076 S077",
    "N12": "S078 S079", "N14": "S070", "N15": "S069", "N16": "S072", "N17": "S071",
    "N18": "S081", "N19": "S082", "N20": "S073", "N21": "S009 S011", "N22": "S010 S011", "N23": "S063",
    "N24": "S064", "N25": "S065", "N26": "S066", "N27": "S067", "N28": "S068", "N29": "B046",
    "N30": "B047 B048", "N31": "B045", "N32": "S085", "N33": "S086", "N34": "S026", "N35": "S012 S014",
    "N36": "S013 S014", "H01": "S111", "H02": "S112", "H03": "S113", "H04": "S121 S122", "H05": "S117",
    "H06": "S114", "H07": "S115 S116", "H08": "S118 S120", "H09": "S119 S120", "H10": "S111", "D01": "S128",
    "D02": "S129", "D03": "S130", "D04": "S131", "D05": "S132",
    "H11": "S111", "H12": "S112", "D06": "S128", "D07": "S129",
}  # fmt: skip


def test_shipped_numbers_have_the_intended_uses(shipped):
    assert list(shipped.rows("likelihood")["id"]) == LIKELIHOOD.split()
    assert list(shipped.rows("check")["id"]) == CHECK.split()
    assert set(shipped.table["arm"]) == {"control", "177Lu"}
    assert set(shipped.table["study"]) == {"NETTER-1", "Halperin 2024", "ILUMINET"}
    texts = shipped.table["source"] + shipped.table["section"]
    assert not texts.str.contains(r"\.txt|/work").any()


def number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def test_shipped_numbers_are_those_printed(shipped, shared):
    names = ("seeds_numbers.csv", "beyond_seeds_numbers.csv")
    tables = [pd.read_csv(shared / "evidence" / name, dtype=str, keep_default_na=False) for name in names]
    collected = pd.concat(tables).set_index("id")
    rows = shipped.table.set_index("id")
    assert set(PRINTED) == set(rows.index[rows["said"] == ""])
    for name, references in PRINTED.items():
        row, first, last = rows.loc[name], *(collected.loc[references.split()[i]] for i in (0, -1))
        numbers = {column: number(first[column]) for column in ("value", "lower", "upper")}
        row = row.copy()
        if row.threshold == -20:  # without progression: those with a response and those who are stable
            row["value"] -= rows.loc[{"H12": "H11", "D07": "D06"}[name], "value"]
        if row.statistic == "count" and row.study == "ILUMINET":  # counts behind printed percentages
            row["value"] = round(100 * row.value / row.n) / 100
        if row.statistic == "p-value" or "words" in row.statistic:
            numbers["value"] = row.value
        for column, printed in numbers.items():
            assert same(row[column], printed), (name, column)
        if "p" in last["quantity"].split("-")[0].split() or row.p:
            assert row.p == last["value"] or float(row.p) == float(last["value"]), name
        if first["n"].isdigit() and row.n == row.n:
            assert row.n == float(first["n"]), name


def test_a_percentage_is_no_hazard_ratio(write):
    with pytest.raises(EvidenceError, match="a hazard ratio of 10 or more"):
        read_evidence(write(RATIO | {"value": "40", "lower": "28.6", "upper": "56", "unit": ""}))
    large = RATIO | {"value": "40", "lower": "28.6", "upper": "56", "unit": "hazard ratio"}
    assert len(read_evidence(write(large)).table) == 1


def test_uneven_limits_pass_with_a_note_on_them(write):
    row = RATIO | {"upper": "0.88", "note": "exact limits"}
    assert len(read_evidence(write(row)).table) == 1


def test_the_character_that_makes_a_number_unreadable_is_named(write):
    with pytest.raises(EvidenceError, match=r"U\+00B7 MIDDLE DOT"):
        read_evidence(write(RATIO | {"value": "0\u00b749"}))
    with pytest.raises(EvidenceError, match=r"U\+2013 EN DASH.*A cell holds one number"):
        read_evidence(write(RATIO | {"lower": "0.30\u20130.83", "upper": ""}))


def test_a_limit_that_rounds_away_leaves_the_other_to_tell_the_standard_error(write):
    """log 0.31 is 1.96 standard errors above an estimate between log 0.035 and log 0.045."""
    row = RATIO | {"value": "0.04", "lower": "0.00", "upper": "0.31", "p": "<0.001"}
    (found,) = (datum(one) for one in read_evidence(write(row)).table.itertuples())
    assert np.log(0.035) < found.value < np.log(0.045)
    assert (np.log(0.305) - np.log(0.045)) / 1.96 < found.se < (np.log(0.315) - np.log(0.035)) / 1.96


@pytest.mark.parametrize(("lower", "upper"), [("0.71", "1.00"), ("0.71", "1.000")])
def test_survival_with_a_limit_of_1_can_be_used(write, lower, upper):
    row = SURVIVAL | {"value": "0.94", "lower": lower, "upper": upper}
    (found,) = (datum(one) for one in read_evidence(write(row)).table.itertuples())
    at = np.log(-np.log([0.94, 0.71]))
    assert found.se >= (at[1] - at[0]) / 1.96 - 1e-12
    assert np.isfinite(found.se)


HANDED_OVER = {
    "51": ("lie unevenly around the value", False),
    "53": ("", True),
    "58": ("a median without a unit", False),
    "62": ("U+00B7 MIDDLE DOT", False),
    "64": ("A cell holds one number", False),
    "68": ("log effect with SE", False),
    "70": ("a hazard ratio in another unit", False),
}


@pytest.mark.parametrize("case", HANDED_OVER)
def test_the_handed_over_case_is_said(case, shared):
    (path,) = (shared / "cases").glob(f"{case}*/analysis.toml")
    said, usable = HANDED_OVER[case]
    found = examine(path)
    assert found.usable is usable
    assert said in "\n".join(found.problems)


def test_a_data_frame_is_read_as_its_file_is(tmp_path, monkeypatch):
    """Of texts all is the same; of numbers the letters of the print are lost, and nothing else."""
    monkeypatch.chdir(DATA)  # where the virtual trials are that its rows name
    from_file = read_evidence(FILES[0])
    texts = pd.read_csv(FILES[0], dtype=str)
    assert read_evidence(texts).digest == from_file.digest
    numbers = read_evidence(pd.read_csv(FILES[0])).table
    same = [name for name in from_file.table if not name.startswith("printed_") and name not in ("p", "se")]
    pd.testing.assert_frame_equal(numbers[same], from_file.table[same])
    both = read_evidence(texts, FILES[1])
    assert len(both.table) == len(from_file.table) + len(read_evidence(FILES[1]).table)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvidenceError, match=r"virtual trials virtual_trials\.json are named by rows"):
        read_evidence(texts)


def test_what_is_no_table_is_refused():
    with pytest.raises(EvidenceError, match="expected CSV files or DataFrames"):
        read_evidence()
    with pytest.raises(EvidenceError, match="expected the name of a file, or a DataFrame"):
        read_evidence(3)
