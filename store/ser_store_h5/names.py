"""The names of runs and members, and the files that bear them. Nothing here touches a disk."""

import os
import re
from collections.abc import Iterable

from ser_store_h5.errors import StoreError

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MEMBER_FILE = re.compile(r"step-([0-9]{6,12})\.h5")
STEP = re.compile(r"[0-9]{1,12}")
MAX_STEP = 10**12 - 1
HUB = "hub:"
RUN_TEXTS = ("run.json", "curves.jsonl")
_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon", "lost+found", "system volume information"}
# Windows gives these a meaning of its own in every folder, with any suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}


def is_run_name(run: str) -> bool:
    """Return whether ``run`` can name a folder everywhere."""
    return bool(RUN_NAME.fullmatch(run)) and not run.endswith(".") and run.split(".")[0].lower() not in _DEVICES


def check_run_name(run: str) -> str:
    """Return ``run`` itself, if it can name a folder everywhere.

    Raises:
        StoreError: stating the rule.
    """
    if not is_run_name(run):
        raise StoreError(
            f"run name {run[:120]!r}: expected 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or "
            "digit, not ending in '.', and not a device name such as 'nul'"
        )
    return run


def find_twins(runs: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of runs whose names differ in case alone: not every file system tells them apart."""
    first: dict[str, str] = {}
    return [(first[run.lower()], run) for run in sorted(runs) if first.setdefault(run.lower(), run) != run]


def is_litter(name: str) -> bool:
    """Whether a file or folder is what desktops, network drives, file systems and editors leave anywhere."""
    return name[0] in ".~@#$" or name.endswith(("~", ".bak")) or name.lower().strip() in _LITTER


def format_member(run: str, step: int) -> str:
    """Return the member's name, ``run@step``."""
    return f"{run}@{step}"


def parse_member(name: str) -> tuple[str, int | None]:
    """Return run and step of ``run@step``; the step is None where only a run is named.

    Raises:
        StoreError: if the run's name or the step breaks its rule.
    """
    run, at, step = name.partition("@")
    check_run_name(run)
    if not at:
        return run, None
    if not STEP.fullmatch(step):
        raise StoreError(
            f"member name {name[:120]!r}: expected run@step with a step of 0 to {MAX_STEP}, as xlsr53@1100"
        )
    return run, int(step)


def member_file(step: int) -> str:
    """The file name of a step: at least six digits, so that names sort as steps do."""
    return f"step-{step:06d}.h5"


def parse_member_file(file_name: str) -> int | None:
    """The step a file name bears, or None for any other file."""
    matched = MEMBER_FILE.fullmatch(file_name)
    if matched is None or member_file(int(matched[1])) != file_name:
        return None
    return int(matched[1])


def is_misnamed_member(file_name: str) -> bool:
    """Whether a user could take a file of this name for a member's, though no reader does; `._*` is a Mac's."""
    looks_so = file_name.lower().endswith(".h5") and not file_name.startswith(".")
    return looks_so and parse_member_file(file_name) is None


def is_run_file(file_name: str) -> bool:
    """Whether a file of this name makes a folder below ``runs`` a run."""
    return file_name in RUN_TEXTS or parse_member_file(file_name) is not None


def member_group(step: int) -> str:
    """The name that a step has as a group of a packed store."""
    return member_file(step).removesuffix(".h5")


def parse_member_group(name: str) -> int | None:
    """The step a group's name bears, or None for any other group."""
    return parse_member_file(f"{name}.h5")


def is_on_hub(store: str | os.PathLike[str]) -> bool:
    """Return whether a store is named by where it is on the hub.

    >>> is_on_hub("hub:me/ravdess"), is_on_hub("my.store")
    (True, False)
    """
    return os.fspath(store).startswith(HUB)


PLUS = "+"


class Ensemble(tuple[str, ...]):
    """Names of members that vote together. As text they are joined by plus signs, which is the ensemble's own name.

    >>> str(Ensemble(("a@1", "b@2")))
    'a@1+b@2'
    """

    __slots__ = ()

    def __str__(self) -> str:
        return PLUS.join(self)


def list_names(names: str | Iterable[str]) -> list[str]:
    """Return several names as a list; a bare string is one name, and so is an ensemble.

    >>> list_names("xlsr53"), list_names(("a@1", "b@2")), list_names(Ensemble(("a@1", "b@2")))
    (['xlsr53'], ['a@1', 'b@2'], ['a@1+b@2'])

    Raises:
        StoreError: if it is neither.

    >>> list_names(3)
    Traceback (most recent call last):
    ser_store_h5.errors.StoreError: got 3 where names are meant: expected a name, or a list of them
    """
    if not isinstance(names, Iterable):
        raise StoreError(f"got {names!r} where names are meant: expected a name, or a list of them")
    return [str(names)] if isinstance(names, str | Ensemble) else [str(name) for name in names]
