"""The classes of a prediction table, and the class that each of its labels means."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.texts import describe_spellings, is_missing, match_labels, match_names, unite_spellings
from ser_store.errors import CorpusError, describe_unknown, list_some
from ser_store.interchange.answers import Answers
from ser_store.interchange.prediction_table import PredictionTable
from ser_store_h5.corpus import Corpus, order_classes
from ser_store_h5.member import NO_ANSWER

# How like a true label a predicted one is that is taken for a slip of the pen: 1 is equal.
_SLIP = 0.7
_DIGITS = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Classes:
    """Classes by name, in order.

    Attributes:
        names: those of the corpus; of a new one, those that it will have.
        meant: those that an answer may be, also outside the corpus.
        is_stated: whether ``meant`` was stated, so that any other answer counts as wrong and is not refused.
    """

    names: tuple[str, ...]
    meant: tuple[str, ...]
    is_stated: bool

    def describe_argument(self, *others: str) -> str:
        """Return the argument that states these classes, and others."""
        return f"`classes` {','.join(dict.fromkeys([*self.names, *others]))}"


def name_truth(
    table: PredictionTable, corpus: Corpus | None, stated: Sequence[str]
) -> tuple[Classes, dict[str, str], list[str]]:
    """Return the classes as far as the corpus or the true labels tell them, the class of each utterance, and notes.

    Raises:
        CorpusError: if a label contradicts the corpus or is none of the classes that were stated, or if these lack
            one of the corpus'.
    """
    labels = table.labels or {}
    if corpus is None and not stated:
        united, spellings = unite_spellings(list(labels.values()))
        names = order_classes(united)
        read = {other: name for name, others in spellings.items() for other in others}
        return Classes(names, names, False), dict(zip(labels, united, strict=True)), describe_spellings(read, "labels")
    names = tuple(stated) if corpus is None else corpus.classes
    spelled = match_names(stated, names)
    classes = Classes(names, tuple(spelled.get(name, name) for name in stated) or names, bool(stated))
    lacking = [name for name in names if name not in classes.meant]
    if lacking:
        raise CorpusError(
            f"`classes` lacks {', '.join(lacking)}: expected every class of the corpus, {', '.join(names)}, and any "
            "others that answers may be"
        )
    read = match_labels(set(labels.values()), classes.meant, is_stated=classes.is_stated)
    truth = {utterance: read.get(label, label) for utterance, label in labels.items()}
    if corpus is None:
        strange = next((utterance for utterance, name in truth.items() if name not in names), None)
        if strange is not None:
            raise CorpusError(
                f"{table.path}: utterance {strange} is labelled {truth[strange]}: expected one of `classes` "
                f"{','.join(names)}; name its class too, or drop its rows"
            )
    else:
        _check_truth(table, corpus, truth)
    return classes, truth, describe_spellings(read, "labels")


def _check_truth(table: PredictionTable, corpus: Corpus, truth: Mapping[str, str]) -> None:
    for (utterance, said), row in zip(truth.items(), corpus.find(list(truth)).tolist(), strict=True):
        expected = corpus.classes[int(corpus.labels[row])]
        if said != expected:
            raise CorpusError(
                f"{table.path}: utterance {utterance} is labelled {said}: expected {expected}, as in this store; is it "
                "the store of another corpus?"
            )


def choose_classes(
    table: PredictionTable, classes: Classes, columns: Mapping[str, str], answers: Sequence[Answers], *, is_new: bool
) -> Classes:
    """Return the classes, of a new corpus with those that are only answered; every answer is one, or they are stated.

    Raises:
        CorpusError: if columns are missing or there are others, or answers are none of the classes, unless these are
            stated; or an answer looks like a misspelt class.
    """
    if classes.is_stated:
        return classes
    if columns:
        _check_columns(table, classes, columns, is_new=is_new)
    strange = {
        said.member.name: sorted(set(said.names.tolist()) - match_names(set(said.names.tolist()), classes.names).keys())
        for said in answers
        if said.names is not None
    }
    empty = [name for name, labels in strange.items() if any(map(is_missing, labels))]
    if empty and not table.is_long:
        _refuse_empty(table, classes, next(said for said in answers if said.member.name == empty[0]))
    strange = {name: [label for label in labels if not is_missing(label)] for name, labels in strange.items()}
    strange = {name: labels for name, labels in strange.items() if labels}
    added = {label for labels in strange.values() for label in labels}
    if strange and (not is_new or any(_find_slip(label, classes.names) for label in added)):
        _refuse_unknown(table, classes, strange)
    if not is_new:
        return classes
    names = order_classes({*classes.names, *columns.values(), *added})
    return replace(classes, names=names, meant=names)


def _check_columns(table: PredictionTable, classes: Classes, columns: Mapping[str, str], *, is_new: bool) -> None:
    given = set(columns.values())
    if not set(classes.names) <= given or not (is_new or given <= set(classes.names)):
        way_out = f"{classes.describe_argument(*columns.values())} takes them for all that the model can answer"
        if not given & set(classes.names):
            way_out = "head each column with the name of its class"
        if is_new and all(name.isdecimal() for name in classes.names):
            way_out = f"`classes` {','.join(columns.values())}, in their order, are what labels from 0 on stand for"
        raise CorpusError(
            f"{table.path} has logits for {', '.join(columns.values())}: expected one column for each of "
            f"{', '.join(classes.names)}; {way_out}"
        )


def _refuse_empty(table: PredictionTable, classes: Classes, said: Answers) -> None:
    names = [] if said.names is None else said.names.tolist()
    rows = [row for row, name in enumerate(names, start=1) if is_missing(name) and name not in classes.names]
    header = said.member.header
    raise CorpusError(
        f"{table.path}: column {header} is empty in row {rows[0]} ({len(rows)} of {len(names)} rows): expected a value "
        f"in every row; {classes.describe_argument()} counts empty cells as wrong answers, and a long table can leave "
        "utterances out"
    )


def _refuse_unknown(table: PredictionTable, classes: Classes, strange: Mapping[str, Sequence[str]]) -> None:
    """All members are looked at, so that one reading of the message mends the whole file."""
    (first, labels), *others = strange.items()
    label = next((label for label in labels if _find_slip(label, classes.names)), labels[0])
    way_out = f"{classes.describe_argument()} counts any other answer as wrong"
    if all(label.isdecimal() for label in labels):
        way_out = f"{classes.describe_argument()}, in their order, are what numbers from 0 on stand for"
    more = f"; unknown labels also in {', '.join(name for name, _ in others)}" if others else ""
    raise CorpusError(
        f"{table.path}: {first}: {describe_unknown('label', label, classes.names, way_out=way_out)}{more}"
    )


def _find_slip(label: str, names: Sequence[str]) -> list[str]:
    """The class that was probably meant: one of nearly the same name, save in its digits; of a number, any by name."""
    if _NUMBER.fullmatch(label) and not any(map(_NUMBER.fullmatch, names)):
        return list(names)
    near = get_close_matches(label, names, n=1, cutoff=_SLIP)
    return [name for name in near if _DIGITS.sub("", name) != _DIGITS.sub("", label)]


def code_answers(
    answers: Sequence[Answers], corpus: Corpus, classes: Classes
) -> tuple[list[NDArray[np.int16] | None], list[str]]:
    """Return the answers of each member as class indices ``(m,)`` int16, -1 outside the corpus' classes; and notes.

    It is None for a member whose numbers are those of the corpus' classes, and can be kept.
    """
    place = {name: index for index, name in enumerate(corpus.classes)}
    codes: list[NDArray[np.int16] | None] = []
    wrong: dict[str, Counter[str]] = {}
    read: dict[str, str] = {}
    for said in answers:
        if said.names is None and set(said.classes) == place.keys():
            codes.append(None)
            continue
        unique, places, counts = np.unique(said.name_answers(corpus.classes), return_inverse=True, return_counts=True)
        names = match_labels(unique.tolist(), classes.meant, is_stated=classes.is_stated)
        read |= names
        found = [names.get(label, label) for label in unique.tolist()]
        codes.append(np.array([place.get(name, NO_ANSWER) for name in found], dtype=np.int16)[places])
        outside = {name: n for name, n in zip(found, counts.tolist(), strict=True) if name not in place}
        if outside:
            wrong[said.member.name] = Counter(outside)
    notes = describe_spellings(read, "answers")
    if wrong:
        notes.append(_describe_wrong(wrong))
    dropped = [
        said.member.name for said, own in zip(answers, codes, strict=True) if own is not None and said.names is None
    ]
    if dropped:
        notes.append(
            f"the columns are not those of the corpus' classes: kept are the answers of {list_some(dropped, 4)}, but "
            "not the numbers"
        )
    return codes, notes


def _describe_wrong(wrong: Mapping[str, Counter[str]]) -> str:
    total: Counter[str] = Counter()
    for outside in wrong.values():
        total.update({"none" if is_missing(name) else name: n for name, n in outside.items()})
    said = ", ".join(f"{name} {n}" for name, n in total.most_common(5)) + (", …" if len(total) > 5 else "")
    members = list_some([f"{name} {sum(outside.values())}" for name, outside in wrong.items()], 4)
    return f"answers that are none of the classes count as wrong: {said} ({members})"
