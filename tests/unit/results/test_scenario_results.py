"""What scenarios say together: ranges of medians, and conclusions that change."""

import pytest
from scenario_plans import invented

from bayes_net.report.scenarios import answer
from bayes_net.results.scenarios import summary, summary_table, troubles
from bayes_net.schema import AS_SPECIFIED, PREDICTED, SAID


def test_the_summary_has_the_range_and_counts_other_conclusions():
    found = summary(invented()).set_index("arm")
    assert list(found.loc["A", ["hr", "lowest", "highest", "lowest_in", "highest_in"]]) == [
        0.7,
        0.6,
        1.2,
        "b",
        "a",
    ]
    assert (found.loc["A", "lowest_prob"], found.loc["A", "highest_prob"]) == (0.3, 0.97)
    assert (found.loc["A", "other_conclusion"], found.loc["B", "other_conclusion"]) == (1, 0)
    text = summary_table(summary(invented()), label="95 % CrI")
    assert text["Other conclusion"].tolist() == ["1 of 3", "0 of 3"]
    assert text["Medians of scenarios"][0] == "0.60 (b) to 1.20 (a)"


def test_failed_scenarios_are_left_out_of_the_summary_and_named():
    table = invented()
    table.loc[table["scenario"] == "a", "gate"] = "failed"
    assert summary(table)["scenarios"].tolist() == [2, 2]
    assert summary(table)["highest_in"].tolist() == [AS_SPECIFIED] * 2
    assert troubles(table)["Scenario"].tolist() == ["a"]
    said = answer({"summary": summary(table), "scenarios": table})
    assert said[-1] == "Without a usable result for some or all hazard ratios: 1 scenario."
    table.loc[table["scenario"] == AS_SPECIFIED, "gate"] = "failed"
    assert summary(table)["other_conclusion"].isna().all()
    assert "Nothing can be compared" in answer({"summary": summary(table), "scenarios": table})[1]


@pytest.mark.parametrize(
    "undrawn",
    [
        {"biased": True},
        {"contraction": 0.05},
        {"estimand": "interaction"},
        {"status": SAID},
        {"status": PREDICTED},
    ],
)
def test_what_a_report_does_not_put_into_words_is_no_conclusion_that_changes(undrawn):
    table = invented().astype({"biased": bool})
    for name, value in undrawn.items():
        table.loc[table["arm"] == "A", name] = value
    found = summary(table).set_index("arm")["other_conclusion"]
    assert found.isna().to_dict() == {"A": True, "B": False}
    assert (
        "None of the 1 verbal conclusions changes"
        in answer({"summary": summary(table), "scenarios": table})[1]
    )


def test_where_nothing_is_put_into_words_the_rest_is_still_said():
    table = invented().assign(contraction=0.05)
    said = answer({"summary": summary(table), "scenarios": table})
    assert said[1] == "No conclusion can change: no hazard ratio as specified is put into words."


def test_the_answer_says_whether_a_conclusion_changes():
    assert (
        "1 of 2 verbal conclusions change"
        in answer({"summary": summary(invented()), "scenarios": invented()})[1]
    )
    calm = invented(prob_below_1=0.97)
    assert (
        "None of the 2 verbal conclusions changes" in answer({"summary": summary(calm), "scenarios": calm})[1]
    )
