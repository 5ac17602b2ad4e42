"""Cautions: what the models behind members have learned from the utterances that they are evaluated on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.class_pairing import KEY as APPLIED
from ser_store.corpora.splits.fitted import explain_unknown, find_fitted_by
from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows
from ser_store.errors import CorpusError, UnknownNameError, list_some
from ser_store.evaluation.choice.saved_ensembles import list_members, read_choice
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# Rules for a step that do not look at labels.
_BLIND_RULES = ("last", "step")

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Caution:
    """Why a figure is better than it should be.

    Attributes:
        name: the run, or the member of one step, whose figures are meant.
        singular: what is the matter with it.
        plural: the same of several.
    """

    name: str
    singular: str
    plural: str

    def __str__(self) -> str:
        return f"{self.name} {self.singular}"


def find_cautions(
    store: Store, members: Iterable[str], rows: Rows, *, chosen: bool = True
) -> dict[str, tuple[Caution, ...]]:
    """Return for each member why its figures on ``rows`` are too good, or hold for known speakers only.

    A model may have learned from the utterances themselves or from others of their speakers, directly or through the
    backbone below it; a step may have been selected on them. Nothing is said of an import that does not state what it
    learned from, but of heads on it.

    Args:
        members: full names.
        rows: ``(m,)`` indices of the utterances judged on.
        chosen: also say whose step was selected on these utterances; not where all steps are shown anyway.
    """
    by_run: dict[str, tuple[Caution, ...]] = {}
    cautions = {}
    for member in dict.fromkeys(members):
        run = parse_member(member)[0]
        record = store.run(run)
        if run not in by_run:
            by_run[run] = tuple(iter_leakage(store, record, rows))
        selection = tuple(_iter_choices(store, record, member, rows)) if chosen else ()
        cautions[member] = (*by_run[run], *selection)
    return cautions


def summarize_cautions(cautions: Iterable[Sequence[Caution]]) -> tuple[str, ...]:
    """Return one line for each kind of caution, naming all that it holds for.

    >>> heard = [Caution(run, "was trained on these", "were trained on these") for run in ("a", "b")]
    >>> summarize_cautions([heard])
    ('a, b were trained on these',)
    """
    alike: dict[str, dict[str, Caution]] = {}
    for own in cautions:
        for caution in own:
            alike.setdefault(caution.singular, {})[caution.name] = caution
    lines = []
    for singular, by_name in alike.items():
        names = list(by_name)
        text = singular if len(names) == 1 else by_name[names[0]].plural
        lines.append(f"{list_some(names)} {text}")
    return tuple(lines)


def caution_leakage(store: Store, members: Iterable[str], rows: Rows, *, chosen: bool = True) -> tuple[str, ...]:
    """Return the cautions of all members, one line for each kind; parameters as for :func:`find_cautions`."""
    return summarize_cautions(find_cautions(store, members, rows, chosen=chosen).values())


def iter_leakage(store: Store, record: RunRecord, rows: Rows) -> Iterator[Caution]:
    """Yield what the models of a run have learned from ``rows``; of a record alone, the run need not be there yet."""
    fitted, name, corpus = find_fitted_by(store, record), record.run, store.corpus
    yield from _iter_applied(record)
    yield from _iter_normalised(store, record, rows)
    if fitted is None:
        yield from _iter_unknown(store, record)
        return
    learned = fitted.learned_from(rows)
    if learned.any():
        text = f"trained on {int(learned.sum())} of these {len(rows)} utterances"
        split, out = record.details.get("split"), ""
        if not _is_by_split(corpus, record, rows[learned]):
            source = record.details.get("source", "the weights that it began with")
            text += ", through its members" if list_members(record) else f", itself or through {source}"
        elif split in corpus.splits:
            text, out = f"{text} (split {split})", f"; `split` {split} has others"
        yield Caution(name, f"was {text}: its figures are too good{out}", f"were {text}: figures too good{out}")
    if corpus.speakers is None or learned.all():
        return
    speakers, others = _number_speakers(corpus.speakers), rows[~learned]
    known = fitted.learned_from_group(others, speakers)
    if known.any():
        heard, judged = (len({code for code in speakers[own].tolist() if code >= 0}) for own in (others[known], others))
        text = f"trained on other utterances of {heard} of these {judged} speakers"
        yield Caution(
            name,
            f"was {text}: its figures are those of known speakers, too good for new ones",
            f"were {text}: figures are those of known speakers, too good for new ones",
        )


def _iter_applied(record: RunRecord) -> Iterator[Caution]:
    """What a model cannot say that learned from another corpus, and whom it may have heard there."""
    applied = record.details.get(APPLIED)
    if not isinstance(applied, Mapping):
        return
    names = {key: ", ".join(map(str, applied.get(key, ()))) for key in ("left_out", "unsaid")}
    if names["left_out"]:
        text = f"among the classes of this corpus alone: {names['left_out']} left out"
        yield Caution(record.run, f"chooses {text}", f"choose {text}")
    if names["unsaid"]:
        text = f"{names['unsaid']}, which their training had not: such utterances are wrong"
        yield Caution(record.run, f"never answers {text.replace('their', 'its')}", f"never answer {text}")
    if applied.get("same_speakers"):
        text = f"trained on speakers that are called as {applied['same_speakers']} of this corpus"
        yield Caution(
            record.run, f"was {text}: known ones, if they are the same people", f"were {text}: known, if the same"
        )


def _iter_normalised(store: Store, record: RunRecord, rows: Rows) -> Iterator[Caution]:
    """What the inputs of a head were standardised on, or else those of the heads below it."""
    for below in _iter_heads(store, record):
        normalised = below.details.get("normalise", "train")
        if normalised != "train":
            text = f"standardised by {normalised} on all recordings, these among them, without their labels"
            one, several = f"was {text}", f"were {text}"
            if below.run != record.run:
                one, several = (f"{verb} on {below.run}, which {one}" for verb in ("stands", "stand"))
            yield Caution(record.run, f"{one}: its figures need those recordings", f"{several}: figures need those")
            alone = _count_alone(store.corpus, rows) if normalised == "speaker" else 0
            if alone:
                text = f"nothing to go by in {alone} of these {len(rows)} utterances, the only ones of their speakers"
                yield Caution(record.run, f"has {text}", f"have {text}")
            return


def _count_alone(corpus: Corpus, rows: Rows) -> int:
    """How many of the utterances have no other of their speaker in the corpus, from which they might differ."""
    groups = corpus.speaker_groups()
    if groups is None:
        return 0
    _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return int((counts[places[rows]] == 1).sum())


def _iter_heads(store: Store, record: RunRecord) -> Iterator[RunRecord]:
    """A run, and if it is a head, the runs below it that are in the store."""
    yield record
    if record.kind == "head":
        for source in record.details.get("sources", [record.details.get("source")]):
            run = parse_member(str(source))[0]
            if store.has_run(run):
                yield from _iter_heads(store, store.run(run))


def _iter_unknown(store: Store, record: RunRecord) -> Iterator[Caution]:
    """What is unknown of a run below has been said nowhere else; an import's own silence, when it was imported."""
    below, why = explain_unknown(store, record)
    one, several = why, f"were {why.removeprefix('was ')}"
    if below != record.run:
        one, several = (f"{verb} on {below}, which {why}" for verb in ("stands", "stand"))
    elif not why.startswith("was "):
        return
    yield Caution(record.run, f"{one}: it may have learned from these", f"{several}: they may have learned from these")


def _is_by_split(corpus: Corpus, record: RunRecord, rows: Rows) -> bool:
    """Return whether a run has learned from ``rows`` by its own split, and not by what is below it."""
    split = record.details.get("split")
    if split not in corpus.splits:
        return record.kind == "import"
    try:
        own = choose_train_eval_rows(corpus, split=split, fold=record.details.get("fold")).train
    except CorpusError:
        return False
    return bool(np.isin(rows, own).all())


def _number_speakers(speakers: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return a number for each speaker, ``(n,)``; -1 where unknown."""
    numbers = {"": -1}
    return np.array([numbers.setdefault(name, len(numbers) - 1) for name in speakers.tolist()], dtype=np.intp)


def _iter_choices(store: Store, record: RunRecord, member: str, rows: Rows) -> Iterator[Caution]:
    """What was chosen on these utterances: the step of a run; of a saved ensemble or swept head itself."""
    choice = read_choice(record)
    shared = 0 if choice is None else _count_shared(store.corpus, rows, choice.on, choice.split)
    if choice is not None and shared:
        among = f"among {choice.among} " if choice.among else "with its weights "
        text = f"chosen {among}on {shared} of these {len(rows)} utterances"
        out = choice.corrected
        yield Caution(
            record.run, f"was {text}: its figures are too good; {out}", f"were {text}: figures too good; {out}"
        )
    for own in list_members(record) or [member]:
        run = parse_member(own)[0]
        if store.has_run(run):
            yield from _iter_selection(store.corpus, store.run(run), own, rows)


def _count_shared(corpus: Corpus, rows: Rows, on: str, split: str | None) -> int:
    """Return how many of ``rows`` are in a part, none where that is not there any more."""
    try:
        return int(np.isin(rows, corpus.rows(on, split=split)).sum())
    except (CorpusError, UnknownNameError):
        return 0


def _iter_selection(corpus: Corpus, record: RunRecord, member: str, rows: Rows) -> Iterator[Caution]:
    selected = record.selected
    if selected is None or selected.step != parse_member(member)[1] or selected.criterion in _BLIND_RULES:
        return
    shared = _count_shared(corpus, rows, selected.on, record.details.get("split"))
    if shared:
        text = f"selected among the steps of {record.run} on {shared} of these {len(rows)} utterances"
        out = "`steps()` has the figure corrected"
        yield Caution(member, f"was {text}: its figures are too good; {out}", f"were {text}: figures too good; {out}")
