"""``run.json`` and ``curves.jsonl``: how a run came to be, and what was logged while it ran."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ser_store_h5.atomic import append_line, write_text_atomically
from ser_store_h5.errors import FormatError
from ser_store_h5.names import check_run_name

FORMAT_NAME = "ser-store/run"
FORMAT_VERSION = 1
MAX_BYTES = 1 << 26
_STATED = ("format", "format_version", "run", "kind", "backbone", "state", "selected")


@dataclass(frozen=True)
class Selection:
    """The step of a run that its name alone stands for, and why.

    Attributes:
        step: the selected step.
        criterion: the rule: ``best``, ``divergence``, ``min-loss``, ``last`` or ``step``.
        on: the part of the split the rule looked at.
        reason: the rule's outcome in words.
    """

    step: int
    criterion: str
    on: str
    reason: str


@dataclass(frozen=True)
class RunRecord:
    """What ``run.json`` says.

    Attributes:
        run: the run's name.
        kind: ``finetune``, ``frozen``, ``head`` or ``import``.
        backbone: catalogue key, hub id or folder name of the backbone; the source for heads and imports.
        state: ``running``, ``finished``, ``interrupted`` or ``failed``.
        selected: the selected step, if one was selected.
        details: recipe, seed, split, versions, hardware, timings …; JSON values.
    """

    run: str
    kind: str
    backbone: str
    state: str = "finished"
    selected: Selection | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def updated(self, *, state: str | None = None, **details: Any) -> "RunRecord":
        """The same record in another state, with further details."""
        return replace(self, state=state or self.state, details={**self.details, **details})

    def to_json(self) -> dict[str, Any]:
        selected = None if self.selected is None else vars(self.selected)
        stated = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, "run": self.run, "kind": self.kind}
        stated |= {"backbone": self.backbone, "state": self.state, "selected": selected}
        return stated | {key: value for key, value in self.details.items() if key not in stated}


def _without_nan(value: Any) -> Any:
    """Numbers that are not finite become None: JSON has no other way to say them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return value


def write_run(folder: Path, record: RunRecord, *, replace: bool = True) -> None:
    """Write ``run.json`` in the run's folder, whole or not at all."""
    check_run_name(record.run)
    text = json.dumps(_without_nan(record.to_json()), indent=1, ensure_ascii=False, allow_nan=False)
    write_text_atomically(folder / "run.json", text + "\n", replace=replace)


def _read_limited(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would keep the reader waiting for good
        raise FormatError(f"{path}: expected a file")
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"{path}: has {path.stat().st_size} bytes: expected at most {MAX_BYTES}")
    return path.read_bytes()


def read_run(folder: Path) -> RunRecord:
    """Read ``run.json`` of the run's folder.

    Raises:
        FormatError: if it is missing or not what FORMAT.md says.
    """
    path = folder / "run.json"
    try:
        stated = json.loads(_read_limited(path).decode())
        if stated["format"] != FORMAT_NAME or stated["run"] != folder.name:
            raise FormatError(f"{path}: expected the {FORMAT_NAME} of run {folder.name}")
        _check_version(path, stated["format_version"])
        return RunRecord(
            run=stated["run"],
            kind=str(stated["kind"]),
            backbone=str(stated["backbone"]),
            state=str(stated["state"]),
            selected=_read_selection(path, stated["selected"]),
            details={key: value for key, value in stated.items() if key not in _STATED},
        )
    except FileNotFoundError:
        raise FormatError(f"{path} is missing; restore it from a copy, or remove the run's folder") from None
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as problem:
        raise FormatError(f"{path}: expected the JSON object that FORMAT.md describes ({problem})") from problem


def _check_version(path: Path, version: Any) -> None:
    if type(version) is not int or version < 1:
        raise FormatError(f"{path}: has format version {version!r}: expected 1 to {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise FormatError(
            f"{path}: has format version {version}: this release reads up to {FORMAT_VERSION}; upgrade with "
            "pip install -U ser-store"
        )


def _read_selection(path: Path, stated: Any) -> Selection | None:
    if stated is None:
        return None
    if type(stated["step"]) is not int:
        raise FormatError(f"{path}: selected step is {stated['step']!r}: expected a whole number")
    return Selection(stated["step"], str(stated["criterion"]), str(stated["on"]), str(stated["reason"]))


def append_curve(folder: Path, point: Mapping[str, Any]) -> None:
    """Append one logging or evaluation step to ``curves.jsonl`` and flush it to the disk."""
    append_line(folder / "curves.jsonl", json.dumps(_without_nan(dict(point)), allow_nan=False))


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``curves.jsonl`` in the order written; a last line torn by a kill is left out.

    Raises:
        FormatError: if any other line is not a JSON object.
    """
    path = folder / "curves.jsonl"
    if not path.exists():
        return []
    try:
        lines = _read_limited(path).split(b"\n")
    except OSError as problem:
        raise FormatError(f"{path}: cannot be read ({problem.strerror}); check its permissions") from problem
    points: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], start=1):  # a last line without line feed was torn by a kill
        try:
            point = json.loads(line.decode())
        except (ValueError, RecursionError) as problem:
            raise FormatError(f"{path}: line {number} is not JSON; restore the file from a copy") from problem
        if not isinstance(point, dict):
            raise FormatError(f"{path}: line {number}: expected a JSON object; restore the file from a copy")
        points.append(point)
    return points
