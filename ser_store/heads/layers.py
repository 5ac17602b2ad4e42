"""Which layers of a source heads are fitted on."""

from collections.abc import Sequence

from ser_store.errors import StoreError
from ser_store_h5.store import Store

Layers = int | str | Sequence[int] | None


def list_layers(store: Store, source: str, layer: Layers) -> list[int | None]:
    """Return the layers of which heads are to be fitted; None for the last one where none was named.

    Args:
        layer: a number, several of them (``[3, 4]`` or ``"3,4"``), or ``all``.

    Raises:
        StoreError: if the source does not have them.
    """
    if layer is None:
        return [None]
    held = store.describe_member(source).layers
    if not held:
        raise StoreError(
            f"`layer` is {layer}, and {source} was extracted with its last layer alone: leave `layer` out, or extract "
            "several under another `run`"
        )
    if layer == "all":
        return list(held)
    named = {str(number): number for number in held}
    given = str(layer).split(",") if isinstance(layer, int | str) else layer
    for one in given:
        if str(one).strip() not in named:
            raise StoreError(f"`layer` is {one}: expected {', '.join(named)} or all, the layers of {source}")
    return [named[str(one).strip()] for one in given]
