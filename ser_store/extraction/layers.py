"""Which layers of a backbone are kept, and which statistics of their frames; what an extraction is asked for."""

from collections.abc import Sequence

from ser_store.backbones.description import Statistic
from ser_store.errors import ModelError, UnknownNameError, describe_unknown

STATISTICS: tuple[Statistic, ...] = ("mean", "std")


def parse_layers(layers: str | int | Sequence[int]) -> str | tuple[int, ...]:
    """Return ``all``, ``last``, or numbers, ascending and each once.

    Raises:
        ModelError: if it is anything else.

    >>> parse_layers("5,3"), parse_layers(4), parse_layers("all")
    ((3, 5), (4,), 'all')
    """
    if isinstance(layers, str) and layers in ("all", "last"):
        return layers
    try:
        given = layers.split(",") if isinstance(layers, str) else [layers] if isinstance(layers, int) else list(layers)
        numbers = [] if any(isinstance(one, bool | float) for one in given) else sorted({int(one) for one in given})
    except (TypeError, ValueError):
        numbers = []
    if not numbers:
        raise ModelError(f"`layers` is {layers!r}: expected all, last, or numbers such as 3 or 3,4,5")
    return tuple(numbers)


def resolve_layers(layers: str | tuple[int, ...], top: int, *, backbone: str) -> tuple[int, ...]:
    """Return the numbers of the layers that are meant of a backbone, ``top`` the number of its transformer layers.

    Raises:
        ModelError: if there is no such layer.
    """
    if isinstance(layers, str):
        return tuple(range(top + 1)) if layers == "all" else (top,)
    strange = [number for number in layers if not 0 <= number <= top]
    if strange:
        raise ModelError(
            f"`layers` has {strange[0]}: expected numbers of 0 to {top}, which are the layers of {backbone}"
        )
    return layers


def parse_statistics(statistics: str | Sequence[str] | None, pooling: str) -> tuple[Statistic, ...]:
    """Return the statistics that are meant in their order; none where the pooling alone says how.

    Raises:
        ModelError: if the pooling says otherwise.
        UnknownNameError: if there is no such statistic.

    >>> parse_statistics("std,mean", "mean")
    ('mean', 'std')
    """
    if statistics is None:
        return ()
    given = statistics.split(",") if isinstance(statistics, str) else list(statistics)
    for one in given or [""]:
        if one not in STATISTICS:
            raise UnknownNameError(describe_unknown("statistic", one, STATISTICS))
    if pooling != "mean":
        raise ModelError(
            f"`statistics` {','.join(given)} with `pooling` {pooling}: expected one of the two; leave `pooling` out"
        )
    return tuple(one for one in STATISTICS if one in given)
