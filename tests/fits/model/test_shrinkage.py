"""Laws of best shrinkage: order statistics, who stays at risk, odds ratios; against what is known of them."""

import numpy as np
import pytest
from pools import ARMS, assumptions, evidence, row, z_of
from scipy import special, stats

from bayes_net.assumptions.combine import combine_network
from bayes_net.assumptions.shrinkage import selected, selection
from bayes_net.errors import InputError
from bayes_net.evidence.table import EvidenceError
from bayes_net.statistics.association import chance_late, log_odds_ratio
from bayes_net.statistics.counts import place
from bayes_net.statistics.ranges import log_range_density, replicated_range

RANGE = {"unit": "points of PCHG", "endpoint": "shrinkage"}


def density(u, n, *, location=0.0, log_spread=0.0):
    """Log density of shares (minimum, median, maximum) of n uniform numbers, from that of their quantiles."""
    z = location + np.exp(log_spread) * special.ndtri(np.asarray(u))
    jacobian = stats.norm.logpdf(z, location, np.exp(log_spread)).sum(axis=0)
    return log_range_density(tuple(z), n, location, log_spread) - jacobian


# --- order statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5, 31, 99])
@pytest.mark.parametrize("law", [(0.0, 0.0), (-1.2, -0.4)])
def test_of_uniform_numbers_the_density_is_the_textbook_one(n, law):
    """n! / (h!)^2 (m - a)^h (b - m)^h with h = (n - 3) / 2."""
    a, m, b = u = np.sort(np.random.default_rng(n).uniform(size=(3, 20)), axis=0)
    h = (n - 3) // 2
    expected = np.log(m - a) * h + np.log(b - m) * h + special.gammaln(n + 1) - 2 * special.gammaln(h + 1)
    found = density(u, float(n), location=law[0], log_spread=law[1])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("n", [5, 6])
def test_the_density_integrates_to_1(n):
    """Over minimum < median < maximum, for an even number too."""

    nodes, weights = np.polynomial.legendre.leggauss(40)
    share, weight = 0.5 * (nodes + 1), 0.5 * weights
    # over a cube: of 1 to b, of b to a, of the way from a to b to m; it is off by 2e-8 at most
    b, of_b, between = np.meshgrid(share, share, share, indexing="ij")
    a = b * of_b
    m = a + (b - a) * between
    cells = weight[:, None, None] * weight[:, None] * weight * b * (b - a)
    total = (cells * np.exp(density((a, m, b), float(n)))).sum()
    assert total == pytest.approx(1.0, abs=1e-4)


def even(a, m, b, n, law):
    """Of an even number, by quadrature over half the gap of the two in the middle, whose mean is printed; of
    groups, each with its own minimum, median and maximum."""
    a, m, b = (x[:, None] for x in (a, m, b))
    h, nodes, weights = n // 2 - 2, *np.polynomial.legendre.leggauss(200)
    most = np.minimum(m - a, b - m)
    gap = 0.5 * most * (nodes + 1)
    below = np.log(law.cdf(m - gap) - law.cdf(a)) * h + np.log(law.cdf(b) - law.cdf(m + gap)) * h
    inside = np.exp(below + law.logpdf(m - gap) + law.logpdf(m + gap))
    middle = np.log((most * weights * inside).sum(axis=1))
    outer = (law.logpdf(a) + law.logpdf(b))[:, 0]
    return special.gammaln(n + 1) - 2 * special.gammaln(h + 1) + outer + middle


@pytest.mark.parametrize(("n", "bound"), [(14, 0.06), (66, 0.02), (80, 0.02)])
def test_the_median_of_an_even_number_loses_next_to_nothing_as_one_order_statistic(n, bound):
    """What approximation and exact density say of location and log spread, at laws a standard error to either
    side, in 2,000 groups: their log ratio differs from one law to the other by ``bound`` at most on average,
    where one standard error changes it by 1/2."""
    rng, errors = np.random.default_rng(n), (np.sqrt(np.pi / 2 / n), 0.4 / np.sqrt(np.log(n)))
    drawn = np.sort(rng.normal(size=(2000, n)), axis=1)
    groups = np.stack([drawn[:, 0], np.median(drawn, axis=1), drawn[:, -1]], axis=1)
    laws = [(0, 0), (errors[0], 0), (-errors[0], 0), (0, errors[1]), (0, -errors[1])]
    first = groups[:300].T
    lost = np.stack(
        [
            even(*first, n, stats.norm(at, np.exp(spread)))
            - log_range_density(tuple(first), float(n), at, spread)
            for at, spread in laws
        ],
        axis=1,
    )
    assert np.abs((lost - lost[:, :1]).mean(axis=0)).max() < bound
    # the score of the approximation is 0 on average: its estimates are not moved
    step = 1e-5
    for by in ((step, 0.0), (0.0, step)):
        up, down = (
            log_range_density(tuple(groups.T), float(n), sign * by[0], sign * by[1]) for sign in (1, -1)
        )
        score = (up - down) / (2 * step)
        scale = score.std()
        assert abs(score.mean()) < (bound + z_of(6) / np.sqrt(len(groups))) * scale


def test_replicates_are_those_of_groups_of_patients():
    """Distribution of a replicated minimum, median and maximum: shares have beta distributions."""
    rng, n, spread, size = np.random.default_rng(2), 31, 0.7, 20_000
    found = replicated_range(np.full(size, -1.0), np.full(size, spread), n, rng)
    share = special.ndtr((place(found) + 1.0) / spread)
    for k, own in zip((1, 16, 31), share.T, strict=True):
        assert stats.kstest(own, stats.beta(k, n + 1 - k).cdf).pvalue > 0.001 / 3


@pytest.mark.parametrize(
    ("low", "middle", "high", "n"), [(-19.2, 0.0, 38.5, 99), (-18.0, -2.9, 54.6, 80), (-5.0, 10.6, 46.4, 14)]
)
def test_rounding_to_a_tenth_changes_nothing(low, middle, high, n):
    """The probability of all that is printed so, over the density at its middle, is the same for any law, to
    a tenth of a unit of log-likelihood; one standard error is half a unit."""
    nodes, weights = np.polynomial.legendre.leggauss(5)
    points = np.array([low, middle, high])
    ratios = []
    for location in (-1.6, -1.2, -0.8):
        for log_spread in np.log([0.6, 0.9, 1.2]):
            grid = np.meshgrid(*(x + 0.05 * nodes for x in points), indexing="ij")
            volume = np.einsum("i,j,k->ijk", weights, weights, weights) / 8
            places = [place(x) for x in grid]
            jacobian = sum(np.log(120 / ((x + 20) * (100 - x))) for x in grid)
            inside = np.exp(log_range_density(tuple(places), float(n), location, log_spread) + jacobian)
            at = log_range_density(tuple(place(points)), float(n), location, log_spread)
            ratios.append(np.log((inside * volume).sum()) - at)
    assert np.ptp(ratios) < 0.1


# --- who stays at risk --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.17, 0.5, 0.93])
@pytest.mark.parametrize("correlation", [-0.5, 0.3, 0.6])
def test_those_who_stay_have_the_mean_and_variance_of_a_jointly_normal_pair(share, correlation):
    rng, size = np.random.default_rng(5), 400_000
    z, w = rng.normal(size=(2, size))
    stays = correlation * z + np.sqrt(1 - correlation**2) * w > stats.norm.isf(share)
    location, log_spread = selected(-1.0, np.log(0.8), correlation, selection(share))
    own = -1.0 + 0.8 * z[stays]
    assert abs(own.mean() - location) < z_of(18) * own.std() / np.sqrt(len(own))
    assert np.log(own.std()) == pytest.approx(log_spread, abs=z_of(18) / np.sqrt(2 * len(own)))


@pytest.mark.parametrize(("n", "share"), [(14, 14 / 86), (31, 31 / 86)])
def test_the_law_of_those_who_stay_is_near_enough_to_normal(n, share):
    """Medians of groups of patients who stay, against those of the normal law of their mean and variance."""
    rng, correlation, groups = np.random.default_rng(6), 0.5, 4000
    z, w = rng.normal(size=(2, groups * int(40 * n / share / 10)))
    stays = correlation * z + np.sqrt(1 - correlation**2) * w > stats.norm.isf(share)
    own = z[stays][: groups * n].reshape(-1, n)
    location, log_spread = selected(0.0, 0.0, correlation, selection(share))
    normal = location + np.exp(log_spread) * rng.normal(size=own.shape)
    for statistic in (np.median, np.min, np.max):
        difference = statistic(own, axis=1).mean() - statistic(normal, axis=1).mean()
        assert abs(difference) < 0.25 * statistic(normal, axis=1).std()


# --- odds ratios --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("odds", "rounded"), [(20.9, 0.85), (13.0, 0.78), (1.0, 0.0)])
def test_the_odds_ratio_of_the_mid_treatment_cohort_is_a_correlation_of_about_085(odds, rounded):
    """Where half of the patients respond, the tetrachoric correlation is cos(pi / (1 + sqrt(odds ratio)))."""
    correlation = np.cos(np.pi / (1 + np.sqrt(odds)))
    assert correlation == pytest.approx(rounded, abs=0.005)
    assert log_odds_ratio(0.0, 0.0, correlation) == pytest.approx(np.log(odds), abs=1e-4)


@pytest.mark.parametrize("correlation", [-0.6, 0.2, 0.85, 0.97])
@pytest.mark.parametrize(("early", "late"), [(0.5, 0.1), (1.4, -0.3), (0.0, 0.0)])
def test_the_odds_ratio_is_that_of_the_four_cells(early, late, correlation):
    normal = stats.multivariate_normal(
        [0, 0], [[1, correlation], [correlation, 1]], abseps=1e-12, releps=1e-12
    )
    neither = normal.cdf([early, late])
    first, last = stats.norm.cdf(late) - neither, stats.norm.cdf(early) - neither
    both = 1 - neither - first - last
    expected = np.log(both * neither / (first * last))
    # the cells as they are defined have a millionth more each
    assert log_odds_ratio(early, late, correlation) == pytest.approx(
        expected, abs=4e-6 * sum(1 / p for p in (both, neither, first, last))
    )
    given, otherwise = chance_late(early, late, correlation)
    assert given == pytest.approx(both / stats.norm.sf(early), rel=1e-6)
    assert otherwise == pytest.approx(
        (stats.norm.sf(late) - both) / stats.norm.cdf(early), rel=1e-6, abs=1e-9
    )


# --- rows ---------------------------------------------------------------------------------------------


def network(rows, folder, **more):
    return combine_network(evidence(rows, folder), assumptions(**more))


def test_the_sign_of_the_unit_is_turned_round(tmp_path):
    pchg = row("A1", "median and range", "-12.3", lower="-60.0", upper="11.4", n=66, **RANGE)
    shrinkage = row(
        "A1", "median and range", "12.3", lower="-11.4", upper="60.0", n=66, endpoint="shrinkage",
        unit="points of shrinkage",
    )  # fmt: skip
    one, other = (network([r], tmp_path).data[0] for r in (pchg, shrinkage))
    np.testing.assert_equal(vars(one), vars(other))  # nan is nan
    assert one.value == pytest.approx(special.logit(32.3 / 120))
    assert one.extremes == pytest.approx(tuple(special.logit([8.6 / 120, 80 / 120])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upper": ""}, "no median or no range"),
        ({"value": "-60.0"}, "a median at an end of its range"),
        ({"n": "2"}, "an impossible number of patients"),
        ({"unit": "points"}, "an unknown unit"),
        ({"upper": "20.0"}, "a best shrinkage that nobody can have"),
        ({"unit": "points of shrinkage"}, "a best shrinkage that nobody can have"),
    ],
)
def test_a_range_that_cannot_be_is_refused(changes, message, tmp_path):
    good = row("A1", "median and range", "-12.3", lower="-60.0", upper="11.4", n=66, **RANGE)
    with pytest.raises(EvidenceError, match=message):
        network([good | changes], tmp_path)


def test_counts_and_a_range_of_the_same_patients_are_refused_together(tmp_path):
    of_range = row(
        "A1", "median and range", "-12.3", lower="-60.0", upper="11.4", n=66, landmark="48w", **RANGE
    )
    count = row("A2", "count", 10, n=66, endpoint="shrinkage", threshold=30)
    assert len(network([of_range, count], tmp_path).rows) == 2
    with pytest.raises(EvidenceError, match="both tell best shrinkage of 177Lu by one landmark"):
        network([of_range, count | {"landmark": "48 w"}], tmp_path)


def test_a_landmark_that_is_no_time_is_refused(tmp_path):
    bad = row(
        "A1", "median and range", "-12.3", lower="-60.0", upper="11.4", n=66, landmark="week 48", **RANGE
    )
    with pytest.raises(InputError, match=r"A1: .*week 48"):
        network([bad], tmp_path)


def test_who_is_at_risk_is_a_share_of_the_most_that_any_row_has(tmp_path):
    own = network(
        [
            row(
                "A1", "median and range", "-12.3", lower="-60.0", upper="11.4", n=66, landmark="48w", **RANGE
            ),
            row("A2", "count", 20, n=120, endpoint="shrinkage", threshold=30),
            row("A3", "count", 100, n=120, endpoint="shrinkage", threshold=-20),
        ],
        tmp_path,
    ).shrinkage
    assert own.selected_arms == (ARMS[1],)
    np.testing.assert_array_equal(own.rows.selected, [-1, -1, 0])
    assert (own.rows.shift[2], own.rows.loss[2]) == pytest.approx(selection(0.66))
    assert own.progressive == (("A", ARMS[1], "no limit"),)
