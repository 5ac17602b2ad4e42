"""How far a figure can be trusted: intervals."""

from ser_store.metrics import MetricError

# The two-sided normal quantile of the usual 95%.
Z_95 = 1.959963984540054


def wilson_interval(correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of an accuracy, ``0 <= lo <= correct / n <= hi <= 1``.

    With ``p = correct / n`` and ``z`` the two-sided normal quantile of ``confidence``::

        (p + z² / 2n ± z * sqrt(p (1 - p) / n + z² / 4n²)) / (1 + z² / n)

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Args:
        correct: utterances predicted right, in ``0..n``.
        n: utterances, at least 1.
        confidence: between 0 and 1, both excluded.

    Raises:
        MetricError: if an argument leaves its range.

    >>> [round(bound, 4) for bound in wilson_interval(279, 288)]
    [0.9417, 0.9835]
    """
    if n < 1 or not 0 <= correct <= n:
        raise MetricError(f"{correct} correct of {n}: expected at least one utterance, and 0 to n of them correct")
    if not 0 < confidence < 1:
        raise MetricError(f"confidence is {confidence}: expected a number between 0 and 1, such as 0.95")
    z = Z_95 if confidence == 0.95 else _find_quantile((1 + confidence) / 2)
    share = correct / n
    centre = share + z * z / (2 * n)
    half_width = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    # The bounds of 0 and of n correct are 0 and 1; rounding must not move them.
    low = 0.0 if correct == 0 else (centre - half_width) / scale
    high = 1.0 if correct == n else (centre + half_width) / scale
    return low, high


def _find_quantile(probability: float) -> float:
    # Imported here: the module takes 10 ms, as long as reading the members of a small store.
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)
