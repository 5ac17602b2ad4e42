"""``run.json`` and ``curves.jsonl``: how a run came to be, and what was logged while it ran."""

import json
import os
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ser_store_h5.disk.appending import append_line
from ser_store_h5.disk.atomic import write_bytes_atomically
from ser_store_h5.disk.json_objects import (
    LINE_KEY,
    RECORD_KEY,
    Check,
    check_line,
    check_record,
    parse_object,
    seal_line,
    seal_record,
    without_nan,
)
from ser_store_h5.disk.reading import check_inside, open_regular
from ser_store_h5.errors import FormatError, IntegrityError
from ser_store_h5.names import check_run_name

FORMAT_NAME = "ser-store/run"
FORMAT_VERSION = 1
MAX_BYTES = 1 << 24  # in memory lists and numbers take up to 25 times as much
_STATED = ("format", "format_version", "run", "kind", "backbone", "state", "selected")
_HIDDEN = {*_STATED, RECORD_KEY}


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
        kind: ``finetune``, ``frozen``, ``head``, ``import``, ``folds`` (pooled of runs of single folds) or ``ensemble``
            (saved by a vote).
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
        """Return the same record in another state, with further details."""
        return replace(self, state=state or self.state, details={**self.details, **details})

    def to_json(self) -> dict[str, Any]:
        selected = None if self.selected is None else vars(self.selected)
        stated = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, "run": self.run, "kind": self.kind}
        stated |= {"backbone": self.backbone, "state": self.state, "selected": selected}
        return stated | {key: value for key, value in self.details.items() if key not in {*stated, RECORD_KEY}}


def _to_text(stated: Mapping[str, Any], where: object, **layout: Any) -> str:
    try:
        text = json.dumps(without_nan(stated), allow_nan=False, **layout)
        text.encode()
    except (TypeError, ValueError, RecursionError) as problem:
        raise FormatError(f"{where}: cannot be said in JSON ({problem}): expected texts, numbers, lists …") from problem
    return text


def write_run(folder: Path, record: RunRecord, *, replace: bool = True) -> None:
    """Write ``run.json`` in the run's folder, whole or not at all."""
    check_run_name(record.run)
    path = folder / "run.json"
    write_bytes_atomically(path, compose_run(record, where=path), replace=replace, below=folder.parent.parent)


def compose_run(record: RunRecord, *, where: object) -> bytes:
    """Return the bytes of ``run.json``; ``where`` is what messages call it."""
    return seal_record(_to_text(record.to_json(), where, indent=1, ensure_ascii=False))


def compose_point(point: Mapping[str, Any], *, where: object) -> bytes:
    """Return a line of ``curves.jsonl``, without its line feed."""
    return seal_line(_to_text({key: value for key, value in point.items() if key != LINE_KEY}, where))


def _read_limited(path: Path) -> bytes:
    check_inside(path, path.parent.parent.parent)
    try:
        handle = open_regular(path)
        with os.fdopen(handle, "rb") as file:
            size = os.fstat(handle).st_size
            if size > MAX_BYTES:
                raise FormatError(f"{path}: has {size} bytes: expected at most {MAX_BYTES}")
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise FormatError(f"{path}: cannot be read ({problem.strerror}); check its permissions") from problem


def read_run(folder: Path) -> RunRecord:
    """Read ``run.json`` of the run's folder.

    Raises:
        FormatError: if it is missing or not what FORMAT.md says.
    """
    path = folder / "run.json"
    try:
        content = _read_limited(path)
    except FileNotFoundError:
        raise FormatError(f"{path}: run.json is missing; restore it from a copy, or remove the run's folder") from None
    return parse_run(content, run=folder.name, where=str(path))


def parse_run(content: bytes, *, run: str, where: str) -> RunRecord:
    """Parse the record of ``run`` from the bytes of its ``run.json``; ``where`` is what messages call them.

    Raises:
        FormatError: if they are not what FORMAT.md says.
        IntegrityError: if they are not what was written.
    """
    content = content.removeprefix(BOM_UTF8)
    try:
        stated = parse_object(content)
        found = check_record(content)
        if found is Check.DAMAGED or (found is Check.NONE and RECORD_KEY in stated):
            raise IntegrityError(
                f"{where}: its bytes are not those that were written; restore the file from a copy, or remove the key "
                f"{RECORD_KEY} if it was changed on purpose"
            )
        if stated["format"] != FORMAT_NAME or stated["run"] != run:
            raise FormatError(
                f"{where}: expected the {FORMAT_NAME} of run {run}, as its folder is called, not the "
                f"{str(stated['format'])[:40]!r} of run {str(stated['run'])[:120]!r}; give the folder its name back"
            )
        _check_version(where, stated["format_version"])
        return RunRecord(
            run=stated["run"],
            kind=str(stated["kind"]),
            backbone=str(stated["backbone"]),
            state=str(stated["state"]),
            selected=_read_selection(where, stated["selected"]),
            details={key: value for key, value in stated.items() if key not in _HIDDEN},
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise FormatError(f"{where}: expected the JSON object that FORMAT.md describes ({problem})") from problem


def _check_version(where: str, version: Any) -> None:
    if type(version) is not int or version < 1:
        raise FormatError(f"{where}: has format version {version!r}: expected 1 to {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise FormatError(
            f"{where}: has format version {version}: this release reads up to {FORMAT_VERSION}; upgrade with "
            "pip install -U ser-store"
        )


def _read_selection(where: str, stated: Any) -> Selection | None:
    if stated is None:
        return None
    if type(stated["step"]) is not int:
        raise FormatError(f"{where}: selected step is {stated['step']!r}: expected a whole number")
    return Selection(stated["step"], str(stated["criterion"]), str(stated["on"]), str(stated["reason"]))


def append_curve(folder: Path, point: Mapping[str, Any]) -> None:
    """Append one logging or evaluation step to ``curves.jsonl`` and flush it to the disk."""
    path = folder / "curves.jsonl"
    append_line(path, compose_point(point, where=path), check_torn=lambda torn: _check_torn(str(path), torn))


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of ``curves.jsonl`` in the order written; see :func:`parse_curves`."""
    path = folder / "curves.jsonl"
    try:
        content = _read_limited(path)
    except FileNotFoundError:
        return []
    return parse_curves(content, where=str(path))


def parse_curves(content: bytes, *, where: str) -> list[dict[str, Any]]:
    """Parse the curves from the bytes of their ``curves.jsonl``; a last line torn by a kill is left out.

    Raises:
        FormatError: if any other line is not a JSON object.
        IntegrityError: if a line is not what was written.
    """
    *lines, torn = content.removeprefix(BOM_UTF8).split(b"\n")
    points = [_parse_point(f"{where}: line {number}", line) for number, line in enumerate(lines, start=1)]
    _check_torn(where, torn)
    return points


def _check_torn(where: str, torn: bytes) -> None:
    """Refuse what no kill can have left: all of a line, and something in its line feed's place."""
    if check_line(torn[:-1]) is Check.WHOLE:
        raise _damaged_line(f"{where}: last line")


def _parse_point(where: str, line: bytes) -> dict[str, Any]:
    try:
        point = parse_object(line)
    except ValueError as problem:
        raise FormatError(f"{where} {problem}; restore the file from a copy") from problem
    found = check_line(line)
    if found is Check.DAMAGED or (found is Check.NONE and LINE_KEY in point):
        raise _damaged_line(where)
    point.pop(LINE_KEY, None)
    return point


def _damaged_line(where: str) -> IntegrityError:
    return IntegrityError(
        f"{where}: its bytes are not those that were written; restore the file from a copy, or remove the line's key "
        f"{LINE_KEY} if it was changed on purpose"
    )
