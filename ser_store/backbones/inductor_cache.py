"""Users that the system knows by number alone, as in containers that run as any user."""

import os
from pathlib import Path

_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")
_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def place_cache() -> None:
    """Name the folder that torch's compiler caches in, where its default cannot be: it asks for the user's name.

    To be called before transformers loads that compiler, which it does even if nothing is compiled.
    """
    if any(os.environ.get(name) for name in (_CACHE, *_NAMES)):
        return
    from getpass import getuser

    try:
        getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        from tempfile import gettempdir

        os.environ[_CACHE] = str(Path(gettempdir()) / f"torchinductor_{os.getuid()}")
