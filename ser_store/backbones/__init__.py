"""Backbones: what turns a waveform into a representation. The catalogue needs no torch."""

import os
from pathlib import Path

_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")
_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def _place_cache() -> None:
    """Name the folder that torch's compiler caches in, where its default cannot be.

    The default asks for the user's name, and in containers that run as any user the system knows a number alone.
    transformers loads that compiler even if nothing is compiled, so every package that uses it imports this one first.
    """
    if any(os.environ.get(name) for name in (_CACHE, *_NAMES)):
        return
    from getpass import getuser

    try:
        getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        from tempfile import gettempdir

        os.environ[_CACHE] = str(Path(gettempdir()) / f"torchinductor_{os.getuid()}")


_place_cache()
