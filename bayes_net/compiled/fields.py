"""The layout of all that the compiled code reads, and what every part of that code needs.

All that is given is in one block of memory, 8 bytes a number: the places of ``FIELDS`` and of ``WORK``, then
the fields, whole or real as each is. ``slots`` is the block read as whole numbers, ``values`` as real ones,
and ``work`` what is computed. Arrays are places in these three, not slices of them: slices take numba three
times as long to compile.
"""

from __future__ import annotations

from numba import njit

FIELDS = (
    "effect_at",  # effects: place in x
    "effect_sd",  # which free standard deviation, -1: none
    "mean",
    "unit",
    "information",
    "prior_mean",
    "prior_root",  # root of the prior's precision, 0: flat
    "tied",  # where each effect's own entries of the two following begin: its prior mean moves with others
    "tied_to",
    "tied_by",
    "mixed",  # effects whose prior has two components
    "mixed_ratio",  # SD of the narrow over that of the wide one
    "mixed_weight",
    "sd_at",  # free standard deviations: place of the log in x
    "sd_scale",
    "sd_cauchy",
    "constant",
    "intercept",  # elements
    "design",
    "design_effect",
    "design_by",
    "hits",  # what each element is multiplied by in the part that is linear: events, and scores of events
    "cell_hazard",  # cells of compressed exposure: element of the log hazard, and further elements or -1
    "cell_offset",
    "cell_slope",
    "cell_nodes",
    "node_score",
    "node_months",
    "width",  # patients one by one: months of each interval and arm, the first elements being log hazards
    "first",  # whether an interval is an arm's first
    "piece_start",  # pieces of follow-up: the interval in which each begins, and that in which it ends
    "piece_end",
    "piece_slope",
    "piece_score",
    "piece_months",  # time in the last interval
    "covariate_element",
    "piece_covariates",
    "window",  # events between two assessments: where each one's entries of the three following begin
    "window_hazard",
    "window_slope",
    "window_months",
    "window_score",  # of each such event
    "window_covariates",
    "true",  # patients whose score is known with error, with their nodes in levels: where each level begins
    "true_log_weight",
    "true_score",
    "true_event",  # of each patient: element of the slope at an event on a known day, -1: none
    "true_slope",  # of each stretch of one slope, and patient: element, -1: none
    "true_stretch",  # of each baseline hazard, the first elements being their logs: which stretch
    "true_first",  # and which is a patient's in the first interval
    "true_intervals",  # how many there are
    "true_months",  # of each patient, by interval: at risk, then between two assessments if anybody has some
    "true_window",  # 0: the event is between two assessments, -1000: it is certain; nobody's is: empty
    "true_covariates",
    "row_location",  # published numbers: elements of their location, and of the log factor on their errors
    "row_inflation",
    "row_value",
    "row_se",
    "row_power",
    "row_student",  # degrees of freedom of Student's t, 0: normal
    "row_published",  # standard errors from 0 from which on it was printed, 0: in any case
    "row_mean",  # whether a row that is read off a curve is a restricted mean, else log cumulative hazard
    "row_curve",
    "curve_element",
    "curve_months",
    "root",
    "root_row",
    "root_by",
    "said_location",  # estimates that are not printed: elements as of rows, and of the place within limits
    "said_inflation",
    "said_z",
    "said_se",
    "said_root_power",
    "said_limits",  # lower and upper, and both in standard errors, one array after the other
    "said_above",  # place among rows and these of an estimate that it is above, and of one below, -1: none
    "said_below",
    "said_own",
    "said_before",  # what its error has of those of rows, and of these before it
    "before_row",
    "before_by",
    "response",  # counts of response: element of the logit
    "response_counts",
    "law_location",  # counts of shrinkage, then medians with ranges: elements of the law and of selection
    "law_spread",
    "law_selection",
    "law_shift",  # by how many spreads selection moves the location at most, 0: it does not
    "law_loss",
    "shrinkage_progression",  # counts of shrinkage: element of the logit of progression
    "shrinkage_counts",
    "ranges",
    "pair_element",  # odds ratios of completion: element of the row, and of both laws and their correlation
    "pair_laws",
    "pair_start",
    "turn",  # x = centre + turn @ what the sampler has
    "turn_column",
    "turn_by",
    "turn_centre",
)
(
    EFFECT_AT, EFFECT_SD, MEAN, UNIT, INFORMATION, PRIOR_MEAN, PRIOR_ROOT, TIED, TIED_TO, TIED_BY,
    MIXED, MIXED_RATIO, MIXED_WEIGHT, SD_AT, SD_SCALE, SD_CAUCHY, CONSTANT,
    INTERCEPT, DESIGN, DESIGN_EFFECT, DESIGN_BY, HITS,
    CELL_HAZARD, CELL_OFFSET, CELL_SLOPE, CELL_NODES, NODE_SCORE, NODE_MONTHS,
    WIDTH, FIRST, PIECE_START, PIECE_END, PIECE_SLOPE, PIECE_SCORE, PIECE_MONTHS,
    COVARIATE_ELEMENT, PIECE_COVARIATES,
    WINDOW, WINDOW_HAZARD, WINDOW_SLOPE, WINDOW_MONTHS, WINDOW_SCORE, WINDOW_COVARIATES,
    TRUE, TRUE_LOG_WEIGHT, TRUE_SCORE, TRUE_EVENT, TRUE_SLOPE, TRUE_STRETCH, TRUE_FIRST,
    TRUE_INTERVALS, TRUE_MONTHS, TRUE_WINDOW, TRUE_COVARIATES,
    ROW_LOCATION, ROW_INFLATION, ROW_VALUE, ROW_SE, ROW_POWER, ROW_STUDENT, ROW_PUBLISHED, ROW_MEAN,
    ROW_CURVE, CURVE_ELEMENT, CURVE_MONTHS, ROOT, ROOT_ROW, ROOT_BY,
    SAID_LOCATION, SAID_INFLATION, SAID_Z, SAID_SE, SAID_ROOT_POWER, SAID_LIMITS, SAID_ABOVE, SAID_BELOW,
    SAID_OWN, SAID_BEFORE, BEFORE_ROW, BEFORE_BY,
    RESPONSE, RESPONSE_COUNTS, LAW_LOCATION, LAW_SPREAD, LAW_SELECTION, LAW_SHIFT, LAW_LOSS,
    SHRINKAGE_PROGRESSION, SHRINKAGE_COUNTS, RANGES, PAIR_ELEMENT, PAIR_LAWS, PAIR_START,
    TURN, TURN_COLUMN, TURN_BY, TURN_CENTRE,
) = range(len(FIELDS))  # fmt: skip

WORK = ("effect", "standard", "scale", "to_effect", "element", "to_element", "sd", "to_sd", "rest", "turned")
"""What is computed on the way, one array after the other: effects, x / c, c, and the derivatives by effects;
elements, the derivatives by them; free standard deviations, the derivatives by them; what one term needs;
where the sampler's vector is not x, that vector, x, and the derivatives by either."""

EFFECT, STANDARD, SCALE, TO_EFFECT, ELEMENT, TO_ELEMENT, SD, TO_SD, REST, TURNED, WORK_SIZE = range(
    len(FIELDS) + 1, len(FIELDS) + 2 + len(WORK)
)

compiled = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def sizes_of_work(size: dict[str, int]) -> dict[str, int]:
    """How many numbers each of ``WORK`` is, from the number of entries of each field."""
    n, m, s = size["effect_at"], size["intercept"], size["sd_at"]
    rest = max(4 * size["width"], 4 * size["row_value"] + 7 * size["said_se"])
    patients, slopes, nodes = size["true_event"], size["true_slope"], size["true_score"]
    of_nodes = (2 + slopes // max(patients, 1)) * nodes
    rest = max(rest, 2 * size["true_stretch"] + of_nodes + 5 * patients + 6 * slopes)
    turned = 4 * size["turn_centre"]
    return dict(zip(WORK, (n, n, n, n, m, m, s, s, rest, turned), strict=True))


@compiled
def count(field, slots):
    """Number of entries of a field."""
    return slots[field + 1] - slots[field]


# --- sparse matrices: three fields, where each row begins, columns, values ----------------------------------


@compiled
def multiply(out, vector, matrix, work, slots, values):
    """Add matrix times ``vector`` to ``out``, both places in ``work``."""
    begin, column, by = slots[matrix], slots[matrix + 1], slots[matrix + 2]
    for i in range(count(matrix, slots) - 1):
        for k in range(slots[begin + i], slots[begin + i + 1]):
            work[out + i] += values[by + k] * work[vector + slots[column + k]]


@compiled
def multiply_back(out, vector, matrix, work, slots, values):
    """Add the transposed matrix times ``vector`` to ``out``."""
    begin, column, by = slots[matrix], slots[matrix + 1], slots[matrix + 2]
    for i in range(count(matrix, slots) - 1):
        for k in range(slots[begin + i], slots[begin + i + 1]):
            work[out + slots[column + k]] += values[by + k] * work[vector + i]
