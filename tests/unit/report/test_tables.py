"""Tables to read: digits follow the Monte-Carlo error, and words follow the probabilities."""

import fake_results
import numpy as np
import pandas as pd
import pytest

from bayes_net.data.landmarks import attrition_table
from bayes_net.errors import InputError
from bayes_net.estimands.summary import STRENGTHS, UNCLEAR, direction
from bayes_net.labels import BIASED
from bayes_net.numbers import (
    MISSING,
    format_estimate,
    format_interval,
    format_plainly,
    format_probability,
    format_range,
    percent,
    plain_table,
    rounded,
    significant,
)
from bayes_net.report.tables import (
    hazard_ratio_table,
    predictive_table,
    probability_table,
    sensitivity_table,
    survival_table,
)


@pytest.mark.parametrize(
    ("value", "mcse", "expected"),
    [
        (0.8512, 0.005, "0.85"),  # half a unit of the second decimal is 0.005: just enough
        (0.8512, 0.00501, "0.85"),  # one decimal is supported, two significant digits are kept
        (1.2345, 0.005, "1.23"),
        (1.2345, 0.00501, "1.2"),
        (1.2345, 0.0005, "1.234"),  # 1.2345 lies below the tie as a binary number
        (1.2345, 0.000001, "1.234"),  # never more than three decimals
        (1.2345, 0.0, "1.234"),
        (1.2345, np.nan, "1.2"),
        (0.998, np.nan, "1.0"),  # two digits of what is printed
        (12.34, 0.04, "12.3"),
        (12.34, 0.4, "12"),
        (152.4, 20.0, "152"),
        (0.0123, 0.01, "0.012"),
        (0.00012, 0.00001, "<0.001"),
        (0.0, 0.005, "0.00"),
        (-0.0004, 0.005, "0.000"),
        (np.nan, 0.01, "–"),
        (np.inf, 0.01, "not reached"),
    ],
)
def test_digits_follow_the_monte_carlo_error(value, mcse, expected):
    assert format_estimate(value, mcse) == expected


def test_an_interval_has_the_decimals_of_its_estimate():
    assert format_interval(0.853, 0.7219, 1.0149, 0.004) == "0.85 (0.72–1.01)"
    assert format_interval(0.853, 0.0041, np.inf, 0.004) == "0.85 (<0.01–not reached)"
    assert format_interval(1.25, -0.31, 2.8, 0.04) == "1.2 (-0.3 to 2.8)"


def test_a_limit_has_the_digits_of_its_own_error():
    """It may be off by a whole unit of its last digit, and has two digits, or two decimals, in any case."""
    assert format_interval(1.001, 0.38, 2.6, 0.004, of_limits=(0.004, 0.04)) == "1.00 (0.38–2.6)"
    assert format_interval(0.75, 0.506, 1.088, 0.002, of_limits=(0.004, 0.01)) == "0.75 (0.51–1.09)"
    assert format_interval(0.75, 0.506, 1.088, 0.002, of_limits=(0.004, 0.0101)) == "0.75 (0.51–1.1)"
    assert format_interval(1.9, 0.0312, 9.53, 0.02, of_limits=(0.0001, 0.4)) == "1.9 (0.03–9.5)"
    assert format_interval(1.9, 0.4, np.inf, 0.02, of_limits=(0.001, np.nan)) == "1.9 (0.40–not reached)"


def test_rows_of_one_table_have_the_digits_of_its_median_row():
    ratios = fake_results.hazard_ratios().iloc[:3]
    ratios = ratios.assign(hr=1.234, lower=1.111, upper=2.222, mcse_lower=0.002, mcse_upper=0.002)
    near = hazard_ratio_table(ratios.assign(mcse_hr=[0.002, 0.004, 0.006]))
    assert near["HR (95 % CrI)"].tolist() == ["1.23 (1.11–2.22)"] * 3
    assert near["MCSE"].tolist() == ["0.002", "0.004", "0.006"]
    far = hazard_ratio_table(ratios.assign(mcse_hr=[0.002, 0.004, 0.011], mcse_upper=[0.04, 0.03, 0.002]))
    assert far["HR (95 % CrI)"].tolist() == ["1.23 (1.11–2.2)", "1.23 (1.11–2.2)", "1.2 (1.11–2.2)"]


def test_cells_of_survival_have_the_digits_of_the_median_one():
    quantities = fake_results.survival_quantities()
    last = quantities.index == quantities.index[quantities["quantity"] == "survival"][-1]
    shown = survival_table(quantities.assign(mcse=np.where(last, 0.0001, quantities["mcse"])))
    assert {len(cell) for cell in shown["Survival (at 24 mo)"]} == {len("0.61 (0.49–0.74)")}


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.0, "< 0.01"),
        (0.0049, "< 0.01"),
        (0.0051, "0.01"),
        (0.5, "0.50"),
        (0.9949, "0.99"),
        (0.9951, "> 0.99"),
    ],
)
def test_a_probability_is_never_printed_as_certain(probability, expected):
    assert format_probability(probability) == expected


@pytest.mark.parametrize(("smallest", "word"), STRENGTHS)
def test_words_change_exactly_at_their_band_and_with_the_sign(smallest, word):
    just_less = np.nextafter(smallest, 0)
    assert direction(smallest) == (word, "longer")
    assert direction(1 - smallest) == (word, "shorter")
    assert direction(just_less)[0] != word
    assert direction(1 - smallest + 1e-12)[0] != word


def test_no_direction_is_claimed_between_the_bands():
    for probability in (0.2000001, 0.5, 0.7999999, np.nan):
        assert direction(probability) == (UNCLEAR, "")


def test_hazard_ratio_table_prints_each_row_and_labels_no_limit_as_biased():
    ratios = fake_results.hazard_ratios()
    shown = hazard_ratio_table(ratios)
    assert shown["HR (95 % CrI)"].iloc[0] == "0.87 (0.78–0.99)"
    assert shown["Patients"].tolist() == [str(n) for n in ratios["n"]]
    labels = shown["Landmark"][ratios["biased"]]
    assert set(labels) == {"no limit (biased: conditions on the future)"}
    assert hazard_ratio_table(ratios.assign(interval="hdi", level=0.89)).columns[4] == "HR (89 % HDI)"


def test_rows_that_are_biased_or_failed_get_no_words():
    ratios = fake_results.hazard_ratios()
    ratios = ratios.assign(gate=np.where(ratios["landmark"] == "36 w", "failed", "passed"))
    words = probability_table(ratios)["Time to event, with more shrinkage"]
    assert set(words[ratios["biased"]]) == {"not interpreted (biased)"}
    assert set(words[ratios["landmark"] == "36 w"]) == {"not interpreted (gate failed)"}
    assert words.iloc[1] == "almost certainly longer"


def test_attrition_table_has_every_count_in_flow_order_and_landmarks_beside_each_other():
    flow = fake_results.attrition()
    shown = attrition_table(flow)
    landmarks = [*flow["landmark"].unique()]
    assert list(shown) == ["Arm", "Reason", *landmarks[:-1], "no limit (biased)"]
    assert shown["Arm"].tolist() == [arm for arm in fake_results.ARMS for _ in fake_results.REASONS]
    for arm in fake_results.ARMS:
        rows = shown[shown["Arm"] == arm]
        assert rows["Reason"].tolist() == list(fake_results.REASONS)
        for landmark, column in zip(landmarks, list(shown)[2:], strict=True):
            own = flow[(flow["arm"] == arm) & (flow["landmark"] == landmark)]
            assert rows[column].tolist() == [str(n) for n in own["n"]]


def test_attrition_table_leaves_out_reasons_for_which_nobody_left():
    flow = fake_results.attrition()
    nobody = flow.assign(n=flow["n"].mask(flow["reason"].isin(["follow-up ended before", "analysed"]), 0))
    one = nobody.assign(n=nobody["n"].mask(nobody.index == nobody.index[nobody["n"] == 0][0], 1))
    assert attrition_table(nobody)["Reason"].tolist()[:5] == [
        "all patients",
        "no post-baseline scan",
        "best response is progression",
        "progressed or died before",
        "analysed",
    ]
    assert len(attrition_table(one)) == len(attrition_table(flow))


def test_survival_table_spreads_quantities_and_says_what_is_not_reached_or_extrapolated():
    quantities = fake_results.survival_quantities()
    shown = survival_table(quantities)
    assert len(shown) == 8
    assert shown.loc[0, "Survival (at 12 mo)"] == "0.61 (0.49–0.74)"
    assert shown.loc[0, "Median, months"] == "17.2 (13.8–not reached)"
    beyond = survival_table(quantities.assign(beyond_follow_up=quantities["quantity"] == "median"))
    assert beyond.loc[0, "Median, months"].endswith(" extrapolated")
    assert beyond.loc[0, "Survival (at 12 mo)"] == shown.loc[0, "Survival (at 12 mo)"]


def test_survival_table_refuses_two_analyses_at_once():
    quantities = fake_results.survival_quantities()
    with pytest.raises(InputError, match="two rows for Survival"):
        survival_table(pd.concat([quantities, quantities], ignore_index=True))


def test_plain_table_shows_missing_values_and_truth_in_words():
    table = pd.DataFrame({"p_value": [0.12345, np.nan], "passed": [True, False], "where": ["a", None]})
    shown = plain_table(table)
    assert shown.to_dict("list") == {"P value": ["0.123", "–"], "Passed": ["yes", "no"], "Where": ["a", "–"]}


def test_sensitivity_says_what_decides_and_what_bias_would_take_the_word():
    keys = {"endpoint": "pfs", "population": "p", "measure": "m", "landmark": "150 d", "arm": "A"}
    parts = {"likelihood": 0.2, "all priors": 0.07, "prior of slope": 0.05, "prior of step_sd": 0.06}
    rows = [keys | {"component": part, "sensitivity": value} for part, value in parts.items()]
    power = pd.DataFrame(rows).assign(biased=False, shift=0.1, reading="priors and data both move it")
    tipping = pd.DataFrame([keys | {"band": 0.95, "factor": 1.234}])
    (row,) = sensitivity_table(power, tipping).to_dict("records")
    assert row == {
        "Landmark": "150 d",
        "Arm": "A",
        "Data": "0.20",
        "Priors": "0.07",
        "Prior that moves it most": "change over time",
        "Reading": "priors and data both move it",
        "Bias that would change the conclusion": "× 1.23",
    }
    (biased,) = sensitivity_table(power.assign(biased=True), tipping).to_dict("records")
    assert biased["Bias that would change the conclusion"] == MISSING
    assert BIASED in biased["Landmark"]
    (unknown,) = sensitivity_table(power[power["component"] == "likelihood"], None).to_dict("records")
    assert (
        unknown["Priors"],
        unknown["Prior that moves it most"],
        unknown["Bias that would change the conclusion"],
    ) == ("–", "–", "–")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.3e-39, "< 0.001"), (0, "< 0.001"), (0.0024, "0.0024"), (86.7, "87"), (1234.0, "1200"), (0.5, "0.5")],
)
def test_what_a_prior_implies_has_two_digits_and_no_exponent(value, text):
    assert format_plainly(value) == text


def test_observed_and_replicated_survival_stand_in_one_row_an_arm():
    rows = {"fit": "PFS, 150 d", "arm": ["A", "A", "B"], "months": [6.0, 12.0, 6.0], "observed": 0.627}
    rows |= {"replicated": [0.573, 0.12, 0.88], "lower": 0.41, "upper": 0.72, "p": [0.255, 0.001, 0.9]}
    found = predictive_table(pd.DataFrame(rows)).replace("\N{NO-BREAK SPACE}", " ", regex=True)
    assert found.to_dict("list") == {
        "Fit": ["PFS, 150 d"] * 2,
        "Arm": ["A", "B"],
        "At 6 mo": ["0.63; 0.57 (0.41–0.72); p 0.26", "0.63; 0.88 (0.41–0.72); p 0.90"],
        "At 12 mo": ["0.63; 0.12 (0.41–0.72); p < 0.01", "–"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rounded(-0.004), "0.00"),
        (rounded(-0.25), "−0.25"),
        (rounded(0.25, sign="+"), "+0.25"),
        (rounded(2.345, 1), "2.3"),
        (rounded(np.nan), MISSING),
        (significant(0.012345, 2), "0.012"),
        (significant(np.nan), MISSING),
        (percent(0.95), "95 %"),
        (percent(0.999), "99.9 %"),
        (format_range(np.linspace(0.0, 1.0, 1001)), "0.025 to 0.97 (95 %)"),
    ],
)
def test_numbers_of_no_known_error_have_fixed_digits(text, expected):
    assert text == expected
