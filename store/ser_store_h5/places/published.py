"""A store on the hub: ``hub:owner/name`` means its packed file, in the hub's cache."""

import os
import re
from pathlib import Path

from ser_store_h5.errors import FormatError, IntegrityError, MissingExtraError, StoreError
from ser_store_h5.hdf5.seal import check_seal
from ser_store_h5.names import HUB

# What a repository holds (FORMAT.md, section 7).
PACK_NAME, RECORD_NAME = "store.h5", "serstore.json"
_NAME = re.compile(rf"{HUB}([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(.+))?")


def fetch_store(store: str | os.PathLike[str]) -> Path:
    """Return the packed file of a store on the hub, fetched if need be; from the cache where there is no network.

    Args:
        store: ``hub:owner/name``, with ``@`` and a branch, tag or commit where it is not to be the newest.

    Raises:
        StoreError: if it can neither be fetched nor found in the cache, or is no store.
        MissingExtraError: without the hub's client.
    """
    name = os.fspath(store).replace(os.sep, "/")
    named = _NAME.fullmatch(name)
    if named is None:
        raise StoreError(f"{name!r} names no store on the hub: expected hub:OWNER/NAME, or hub:OWNER/NAME@REVISION")
    try:
        from ser_store_h5.places.hub_files import HubFiles, RefusedError
    except ModuleNotFoundError as missing:
        raise MissingExtraError(
            f"{missing.name} is not installed: {name} needs the hub extra; pip install 'ser-store[hub]'"
        ) from missing
    repository, revision = named.groups()
    files = HubFiles(repository, revision, kind="dataset")
    problem = files.find_problem(PACK_NAME)
    cached = HubFiles(repository, revision, kind="dataset", offline=True)
    try:
        there = cached.fetch(PACK_NAME)
        found = there if problem else files.fetch(PACK_NAME)
    except RefusedError as reason:
        raise StoreError(
            f"{PACK_NAME} of {name} cannot be fetched ({reason}): expected it to be, on another try"
        ) from reason
    if found is None:
        raise StoreError(
            f"{HUB}{files.describe_absence(problem)}: expected a dataset repository with a {PACK_NAME}, as "
            "`push_store()` makes it"
        )
    if there is None or there.resolve() != found.resolve():
        _check_new(name, found)
    return found


def _check_new(name: str, path: Path) -> None:
    """Compare what was fetched just now with its seal; what is damaged does not stay in the cache."""
    try:
        check_seal(path)
    except (FormatError, IntegrityError) as problem:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise StoreError(
            f"{name} has not come as it was written ({problem}): expected its seal to agree; try again"
        ) from problem
