"""What loading a model has to report, to whoever listens to the logger ``ser_store``."""

import logging
from collections.abc import Sequence

LOGGER = logging.getLogger("ser_store")
SHOWN = 3


def report_keys(backbone: str, *, missing: Sequence[str], unused: Sequence[str]) -> None:
    """Name the weights that a checkpoint lacked, and those it had in vain."""
    if missing:
        LOGGER.info("%s: not in the checkpoint, initialised at random: %s", backbone, _list(missing))
    if unused:
        LOGGER.info("%s: in the checkpoint, but of no use here: %s", backbone, _list(unused))


def _list(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
