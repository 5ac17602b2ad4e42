"""The names of runs and members, and the files that bear them. Nothing here touches a disk."""

import re

from ser_store_h5.errors import StoreError

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MEMBER_FILE = re.compile(r"step-([0-9]{6,12})\.h5")
STEP = re.compile(r"[0-9]{1,12}")
MAX_STEP = 10**12 - 1
# Windows gives these a meaning of its own in every folder, with any suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}


def is_run_name(run: str) -> bool:
    """Whether ``run`` can name a folder everywhere."""
    return bool(RUN_NAME.fullmatch(run)) and not run.endswith(".") and run.split(".")[0].lower() not in _DEVICES


def check_run_name(run: str) -> str:
    """``run`` itself, if it can name a folder everywhere.

    Raises:
        StoreError: stating the rule.
    """
    if not is_run_name(run):
        raise StoreError(
            f"run name {run[:120]!r}: expected 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or "
            "digit, not ending in '.', and not a device name such as 'nul'"
        )
    return run


def format_member(run: str, step: int) -> str:
    """The member's name, ``run@step``."""
    return f"{run}@{step}"


def parse_member(name: str) -> tuple[str, int | None]:
    """Run and step of ``run@step``; the step is None where only a run is named.

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


def member_group(step: int) -> str:
    """The name that a step has as a group of a packed store."""
    return member_file(step).removesuffix(".h5")


def parse_member_group(name: str) -> int | None:
    """The step a group's name bears, or None for any other group."""
    return parse_member_file(f"{name}.h5")
