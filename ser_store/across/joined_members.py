"""Members of several stores as those of the joined one: what a model said of each corpus, side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.across.joined_corpus import Part
from ser_store.common.provenance import digest_recordings
from ser_store.corpora.class_pairing import KEY as APPLIED
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.extraction.identity import IDENTITY, list_identity_differences
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.growing import Gathered, Source, compose_member
from ser_store_h5.member import MemberInfo
from ser_store_h5.member_file import MemberFile
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

_ANSWERS = ("logits", "predicted")
# What a record says of a model wherever it hears.
_OF_MODEL = ("origin", "whisper_context", "scores")


@dataclass(frozen=True)
class Joint:
    """A member that every store has, from the same model.

    Attributes:
        name: run@step.
        infos: what each store's holds.
        with_answers: whether its logits or classes are taken along, too.
    """

    name: str
    infos: tuple[MemberInfo, ...]
    with_answers: bool


def find_joint(stores: Sequence[Store]) -> tuple[list[Joint], dict[str, str]]:
    """Return the members that are taken along, and why others are not, by their names."""
    names = [store.member_names() for store in stores]
    joint: list[Joint] = []
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(name for own in names for name in own):
        if not all(name in own for own in names):
            left_out[name] = "not in every store"
            continue
        found = _compare(name, stores)
        if isinstance(found, str):
            left_out[name] = found
        else:
            joint.append(found)
    return joint, left_out


def _compare(name: str, stores: Sequence[Store]) -> Joint | str:
    records = [store.run(parse_member(name)[0]) for store in stores]
    infos = tuple(store.describe_member(name) for store in stores)
    kinds = {record.kind for record in records}
    if not kinds <= {"frozen", "finetune", "import"}:
        return "made in each store by itself"
    first = infos[0]
    if any(list_identity_differences(one.provenance, first.provenance) for one in infos):
        return "of different models"
    is_known = first.provenance.get("model_digest") is not None
    if not is_known and len({record.backbone for record in records}) > 1:
        return "of different models"
    if any((one.layers, _find_width(one)) != (first.layers, _find_width(first)) for one in infos):
        return "of different layers or widths"
    held = [frozenset(one.dataset_bytes) & set(_ANSWERS) for one in infos]
    with_answers = is_known and len(set(held)) == 1 and bool(held[0])
    if first.pooled is None and not with_answers:
        return "answers of models that say not which they are"
    return Joint(name, infos, with_answers)


def _find_width(info: MemberInfo) -> int | None:
    return None if info.pooled is None else info.pooled[1]


def write_joint(joint: Joint, store: Store, stores: Sequence[Store], parts: Sequence[Part]) -> None:
    """Write a member of all stores into the joined one, with its run's record first."""
    run, step = parse_member(joint.name)
    places = [_place(one, joint.name, part) for one, part in zip(stores, parts, strict=True)]
    sources = [
        Source(_opener(one, joint.name), rows, own)
        for one, (rows, own) in zip(stores, places, strict=True)
        if len(rows)
    ]
    gathered = Gathered(sources, 0.0, without=frozenset(_ANSWERS))
    given: dict[str, NDArray[Any]] = {}
    if joint.with_answers:
        said = [_read_answers(one, joint.name, part) for one, part in zip(stores, parts, strict=True)]
        order = np.argsort(np.concatenate([rows for rows, _ in places]))
        given = {name: np.concatenate([own[name] for own in said])[order] for name in said[0]}
    if not store.has_run(run):
        store.add_run(_describe_run(run, stores, parts))
    identity = {key: value for key, value in joint.infos[0].provenance.items() if key in {*IDENTITY, "configuration"}}
    provenance = {**identity, "source": "joined", "audio_digest": digest_recordings(store.corpus, gathered.rows)}
    compose_member(store, run, int(step or 0), gathered, provenance, given=given)


def _place(store: Store, name: str, part: Part) -> tuple[Rows, NDArray[np.intp]]:
    """The rows of the joined corpus that a member covers, and where they stand in its file."""
    covered = store.covered(name)
    is_kept = np.isin(covered, part.own)
    return part.rows[np.searchsorted(part.own, covered[is_kept])], np.flatnonzero(is_kept)


def _opener(store: Store, name: str) -> Any:
    @contextmanager
    def open_file() -> Iterator[MemberFile]:
        with store.place.opened(store.header) as open_member, open_member(*store.resolve(name)) as file:
            yield file

    return open_file


def _read_answers(store: Store, name: str, part: Part) -> dict[str, NDArray[Any]]:
    """Logits or classes of the joined corpus' classes, of the utterances that are kept."""
    covered = store.covered(name)
    rows = covered[np.isin(covered, part.own)]
    said = store.answers([name], rows)[0]
    if said.ndim == 1:
        codes = np.where(said < 0, len(part.pairing.own), said)
        return {"predicted": part.pairing.translate(codes)}
    return {"logits": part.pairing.place(said)}


def _describe_run(run: str, stores: Sequence[Store], parts: Sequence[Part]) -> RunRecord:
    records = [store.run(run) for store in stores]
    details = {key: value for key, value in records[0].details.items() if key in _OF_MODEL}
    fitted = _join_fitted(run, stores, parts)
    details |= {} if fitted is None else {KEY: fitted.to_json()}
    left_out: dict[str, str] = {}
    for record, part in zip(records, parts, strict=True):
        left_out |= _rename_left_out(record, part)
    details |= {"left_out": left_out} if left_out else {}
    details |= _join_applied(records, parts)
    kind = "import" if {record.kind for record in records} == {"import"} else "frozen"
    return RunRecord(run, kind, records[0].backbone, details={**details, "joined": [part.name for part in parts]})


def _join_applied(records: Sequence[RunRecord], parts: Sequence[Part]) -> dict[str, Any]:
    """What a model cannot say of one corpus or another that it did not learn in."""
    applied = [
        (record.details[APPLIED], part) for record, part in zip(records, parts, strict=True) if _is_applied(record)
    ]
    if not applied:
        return {}
    unsaid = {
        part.pairing.there[meant]
        for own, part in applied
        for place, meant in part.pairing.meant.items()
        if part.pairing.own[place] in own.get("unsaid", ())
    }
    left_out = {name for own, _ in applied for name in own.get("left_out", ())}
    speakers = sum(own.get("same_speakers", 0) for own, _ in applied)
    joined = {"unsaid": sorted(unsaid), "left_out": sorted(left_out), "same_speakers": speakers}
    return {APPLIED: {**applied[0][0], **joined}}


def _is_applied(record: RunRecord) -> bool:
    return isinstance(record.details.get(APPLIED), dict)


def _rename_left_out(record: RunRecord, part: Part) -> dict[str, str]:
    stated = record.details.get("left_out")
    return {f"{part.name}: {one}": str(why) for one, why in stated.items()} if isinstance(stated, dict) else {}


def _join_fitted(run: str, stores: Sequence[Store], parts: Sequence[Part]) -> Fitted | None:
    """What the models of a run have learned from, of all corpora; None where one store does not say it.

    A single model in every store is one and the same.
    """
    n = sum(len(part.own) for part in parts)
    found = [find_fitted(store, run) for store in stores]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    if all(not len(one.learned) for one in known):
        return Fitted.on_nothing(n)
    models = [np.zeros((max(1, len(one.learned)), n), dtype=np.bool_) for one in known]
    scored_by = np.zeros(n, dtype=np.intp)
    for number, (one, part) in enumerate(zip(known, parts, strict=True)):
        if len(one.learned):
            models[number][:, part.rows] = one.learned[:, part.own]
        scored_by[part.rows] = one.scored_by[part.own] + sum(map(len, models[:number]))
    if all(len(own) == 1 for own in models):
        return Fitted.on_rows(np.flatnonzero(np.any(models, axis=(0, 1))), n)
    return Fitted(np.concatenate(models), scored_by)
