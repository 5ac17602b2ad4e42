"""The few quantiles and tail probabilities that intervals and tests need, without scipy; equal to it to 1e-10."""

import math
from collections.abc import Iterator

from ser_store.metrics.class_indices import MetricError

_TINY = 1e-300
_EPSILON = 1e-16
# The fractions converge in about the root of the degrees of freedom.
_MOST_TERMS = 100_000
_MOST_STEPS = 200


def find_normal_quantile(probability: float) -> float:
    """The value below which a standard normal lies with ``probability``, between 0 and 1, both excluded.

    >>> round(find_normal_quantile(0.975), 6)
    1.959964
    """
    _check_probability(probability)
    # Imported here: the module takes 10 ms, as long as reading the members of a small store.
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def find_student_quantile(probability: float, *, freedom: float) -> float:
    """The value below which Student's t with ``freedom`` degrees of freedom lies with ``probability``.

    >>> round(find_student_quantile(0.975, freedom=4), 6)
    2.776445
    """
    _check_probability(probability)
    _check_freedom(freedom)
    if probability == 0.5:
        return 0.0
    tail = min(probability, 1 - probability)
    log_height = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    magnitude = 0.0
    # Above 0 the tail is convex, so that Newton's steps from 0 never overshoot.
    for _ in range(_MOST_STEPS):
        density = math.exp(log_height - (freedom + 1) / 2 * math.log1p(magnitude * magnitude / freedom))
        step = (_student_tail(magnitude, freedom) - tail) / density
        magnitude += step
        if step <= magnitude * _EPSILON * 10:
            break
    return -magnitude if probability < 0.5 else magnitude


def compute_chi_square_tail(statistic: float, *, freedom: float) -> float:
    """How probable a chi-square variable with ``freedom`` degrees of freedom is to reach ``statistic``, in 0..1.

    The regularised upper incomplete gamma function ``Q(freedom / 2, statistic / 2)``: by its series below the mean, by
    its continued fraction above. Source: W. H. Press et al., "Numerical Recipes", 3rd edition, 2007, 6.2.

    >>> round(compute_chi_square_tail(3.841459, freedom=1), 6)
    0.05
    """
    _check_freedom(freedom)
    if not statistic >= 0:
        raise MetricError(f"a chi-square statistic is {statistic}: expected 0 or greater")
    if statistic == 0:
        return 1.0
    if statistic == math.inf:
        return 0.0
    shape, x = freedom / 2, statistic / 2
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        return max(0.0, 1 - scale * _sum_gamma_series(shape, x))
    return scale * _evaluate_fraction(_iter_gamma_terms(shape, x), x + 1 - shape)


def _sum_gamma_series(shape: float, x: float) -> float:
    term = total = 1 / shape
    for place in range(1, _MOST_TERMS):
        term *= x / (shape + place)
        total += term
        if term < total * _EPSILON:
            break
    return total


def _iter_gamma_terms(shape: float, x: float) -> Iterator[tuple[float, float]]:
    for place in range(1, _MOST_TERMS):
        yield -place * (place - shape), x + 1 - shape + 2 * place


def _student_tail(value: float, freedom: float) -> float:
    """How probable t is to lie above ``value``, 0 or greater: half the regularised incomplete beta function."""
    x = freedom / (freedom + value * value)
    return 0.5 * _compute_beta(freedom / 2, 0.5, x)


def _compute_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function ``I_x(a, b)``, by its continued fraction where that converges fast.

    Source: W. H. Press et al., "Numerical Recipes", 3rd edition, 2007, 6.4.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _compute_beta(b, a, 1 - x)
    scale = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    return scale * _evaluate_fraction(_iter_beta_terms(a, b, x), 1.0)


def _iter_beta_terms(a: float, b: float, x: float) -> Iterator[tuple[float, float]]:
    yield -(a + b) * x / (a + 1), 1.0
    for m in range(1, _MOST_TERMS):
        yield m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), 1.0
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1.0


def _evaluate_fraction(terms: Iterator[tuple[float, float]], first: float) -> float:
    """``1 / (first + a1 / (b1 + a2 / (b2 + …)))`` for ``terms`` (a, b), by Lentz' method as modified by Thompson."""
    inverse = 1 / (first or _TINY)
    ratio = 1 / _TINY
    value = inverse
    for numerator, denominator in terms:
        inverse = 1 / ((denominator + numerator * inverse) or _TINY)
        ratio = (denominator + numerator / ratio) or _TINY
        change = inverse * ratio
        value *= change
        if abs(change - 1) < 4 * _EPSILON:
            break
    return value


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        raise MetricError(f"a probability is {probability}: expected a number between 0 and 1, both excluded")


def _check_freedom(freedom: float) -> None:
    if not 0 < freedom < math.inf:
        raise MetricError(f"there are {freedom} degrees of freedom: expected a number greater than 0")
