"""Several corpora as one: whose utterances, speakers, classes, columns and splits are kept apart or become one."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.class_pairing import Pairing
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.splits.train_eval_rows import Rows, is_folded
from ser_store.corpora.texts import describe_spellings, unite_spellings
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Column, Corpus, StrArray, order_classes

# The column that says which corpus an utterance is of, and the split that leaves one corpus out at a time.
CORPUS = "corpus"


@dataclass(frozen=True, eq=False)
class Part:
    """One corpus in the joined one.

    Attributes:
        name: what it is called in it.
        corpus: as it was.
        own: ``(m,)`` the rows of it that are kept.
        rows: ``(m,)`` int32, the rows that these are in the joined corpus.
        pairing: of its classes with those of the joined corpus.
    """

    name: str
    corpus: Corpus
    own: Rows
    rows: Rows
    pairing: Pairing


@dataclass(frozen=True, eq=False)
class JoinedCorpus:
    """A corpus of several, where each of them is in it, and a line for what was changed or left out."""

    corpus: Corpus
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def join_corpora(corpora: Sequence[Corpus], names: Sequence[str], name: str, labels: LabelMap | None) -> JoinedCorpus:
    """Make one corpus of several.

    Ids that several corpora have, and speakers, get the name of their corpus as a prefix. Classes are those of the
    label map, else all, of which spellings are united. Splits that all have are joined part by part; the split
    ``corpus`` has a fold for each.

    Args:
        corpora: one or more.
        names: what they are called, all different.
        name: of the joined corpus.

    Raises:
        CorpusError: if no utterance is left of one, or ids are still not unique.
    """
    meant, notes = _name_classes(corpora, labels)
    kept = [
        np.flatnonzero(np.array([one is not None for one in own])[corpus.labels]).astype(np.int32)
        for corpus, own in zip(corpora, meant, strict=True)
    ]
    for one, rows in zip(names, kept, strict=True):
        if not len(rows):
            raise CorpusError(f"none of the utterances of {one} is left: expected a label map with some of its classes")
    ids, said = _keep_apart([corpus.ids[rows] for corpus, rows in zip(corpora, kept, strict=True)], names, "ids")
    notes += said
    order = np.argsort(np.concatenate(ids), kind="stable")
    places = np.argsort(order).astype(np.int32)
    classes = order_classes(one for own in meant for one in own if one is not None)
    parts, start = [], 0
    for corpus, one, rows, own in zip(corpora, names, kept, meant, strict=True):
        pairs = {place: classes.index(label) for place, label in enumerate(own) if label is not None}
        pairing = Pairing(corpus.classes, classes, pairs)
        parts.append(Part(one, corpus, rows, places[start : start + len(rows)], pairing))
        start += len(rows)
    described, said = _describe(parts, np.concatenate(ids)[order], order, name)
    return JoinedCorpus(described, tuple(parts), (*notes, *said))


def _name_classes(corpora: Sequence[Corpus], labels: LabelMap | None) -> tuple[list[list[str | None]], list[str]]:
    """What each class of each corpus is called in the joined one, None where it is dropped; and what to say of it."""
    if labels is None:
        every = [name for corpus in corpora for name in corpus.classes]
        united, spellings = unite_spellings(every)
        found = iter(united)
        read = {other: name for name, others in spellings.items() for other in others}
        return [[next(found) for _ in corpus.classes] for corpus in corpora], describe_spellings(read, "classes")
    said = [corpus.classes[label] for corpus in corpora for label in corpus.labels.tolist()]
    return [labels.apply(corpus.classes) for corpus in corpora], labels.describe(said)


def _keep_apart(per_corpus: Sequence[StrArray], names: Sequence[str], what: str) -> tuple[list[StrArray], list[str]]:
    """Prefix with the corpus' name what several corpora have; the empty text stays."""
    counts = Counter(chain.from_iterable(set(own.tolist()) - {""} for own in per_corpus))
    several = {text for text, n in counts.items() if n > 1}
    if not several:
        return list(per_corpus), []
    apart = [
        np.array([f"{name}-{one}" if one in several else one for one in own.tolist()], dtype=np.str_)
        for name, own in zip(names, per_corpus, strict=True)
    ]
    example = f"{names[0]}-{min(several)}"
    note = f"{len(several)} {what} are in several corpora, and are kept apart by their corpus' name, as {example}"
    if what == "ids" and len(set(chain.from_iterable(own.tolist() for own in apart))) < sum(map(len, apart)):
        raise CorpusError(f"{note}; they are still not unique: expected corpora without ids that begin so")
    return apart, [note]


def _describe(parts: Sequence[Part], ids: StrArray, order: NDArray[np.intp], name: str) -> tuple[Corpus, list[str]]:
    """The joined corpus; all but the ids is put into ``order``."""

    def join(values: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(values))[order]

    speakers, said_speakers = _join_speakers(parts)
    splits, said_splits = _join_splits(parts)
    paths, root, said_paths = _join_paths(parts)
    digests = [part.corpus.audio_digests[part.own] for part in parts if part.corpus.audio_digests is not None]
    columns = {column: join(values) for column, values in _join_columns(parts).items()}
    joined = {**{split: join(own) for split, own in splits.items()}, **_leave_corpora_out(columns[CORPUS])}
    usual = parts[0].corpus.default_split
    corpus = Corpus(
        name=name,
        ids=ids,
        labels=join(_code_labels(part) for part in parts),
        classes=parts[0].pairing.there,
        speakers=None if speakers is None else join(speakers),
        columns=columns,
        splits=joined,
        default_split=usual if usual in splits else next(iter(joined), None),
        paths=None if paths is None else join(paths),
        audio_root=root,
        audio_digests=join(digests) if len(digests) == len(parts) else None,
    )
    folds = sorted(set(zip(joined[CORPUS].tolist(), columns[CORPUS].tolist(), strict=True))) if CORPUS in joined else ()
    named = [f"split {CORPUS}: {', '.join(f'{fold} is {one}' for fold, one in folds)}"] if folds else []
    return corpus, [*named, *said_speakers, *said_splits, *said_paths, *_describe_same_audio(corpus)]


def _code_labels(part: Part) -> NDArray[np.int16]:
    codes = np.array([part.pairing.meant.get(place, -1) for place in range(len(part.corpus.classes))], dtype=np.int16)
    return np.asarray(codes[part.corpus.labels[part.own]])


def _join_speakers(parts: Sequence[Part]) -> tuple[list[StrArray] | None, list[str]]:
    if not any(part.corpus.known_speakers for part in parts):
        return None, []
    named = [
        np.full(len(part.own), "") if part.corpus.speakers is None else part.corpus.speakers[part.own] for part in parts
    ]
    return _keep_apart(named, [part.name for part in parts], "speakers")


def _join_columns(parts: Sequence[Part]) -> dict[str, list[NDArray[Any]]]:
    """Every column, part by part, with one more that says which corpus an utterance is of."""
    known = dict.fromkeys(column for part in parts for column in part.corpus.columns)
    columns = {
        column: _fill_column([part.corpus.columns.get(column) for part in parts], parts)
        for column in known
        if column != CORPUS
    }
    columns[CORPUS] = [
        np.asarray(part.corpus.columns[CORPUS][part.own], dtype=np.str_)
        if CORPUS in part.corpus.columns
        else np.full(len(part.own), part.name)
        for part in parts
    ]
    return columns


def _fill_column(given: Sequence[Column | None], parts: Sequence[Part]) -> list[NDArray[Any]]:
    """A column of all corpora: text if it is text anywhere, else numbers; what a corpus lacks is empty or NaN."""
    held = [one for one in given if one is not None]
    is_text = any(one.dtype.kind == "U" for one in held)
    is_whole = not is_text and len(held) == len(given) and all(one.dtype.kind == "i" for one in held)
    filled: list[NDArray[Any]] = []
    for one, part in zip(given, parts, strict=True):
        n = len(part.own)
        if one is None:
            filled.append(np.full(n, "") if is_text else np.full(n, np.nan))
        elif is_text and one.dtype.kind != "U":
            filled.append(np.array(["" if value != value else f"{value:g}" for value in one[part.own].tolist()]))
        else:
            filled.append(one[part.own] if is_text or is_whole else one[part.own].astype(np.float64))
    return filled


def _join_splits(parts: Sequence[Part]) -> tuple[dict[str, list[StrArray]], list[str]]:
    """The splits that all corpora have and that are of one kind, part by part."""
    known = [name for name in dict.fromkeys(name for part in parts for name in part.corpus.splits) if name != CORPUS]
    joined, out = {}, []
    for name in known:
        has = [name in part.corpus.splits for part in parts]
        kinds = {is_folded(part.corpus, name) for part, own in zip(parts, has, strict=True) if own}
        if all(has) and len(kinds) == 1:
            joined[name] = [part.corpus.splits[name][part.own] for part in parts]
        else:
            out.append(name)
    return joined, [f"splits left out, which not all corpora have alike: {', '.join(out)}"] if out else []


def _leave_corpora_out(corpora: StrArray) -> dict[str, StrArray]:
    """A split with a fold for each corpus; none of one corpus."""
    names = sorted(set(corpora.tolist()))
    if len(names) < 2:
        return {}
    folds = {name: f"fold-{place}" for place, name in enumerate(names, start=1)}
    return {CORPUS: np.array([folds[name] for name in corpora.tolist()])}


def _join_paths(parts: Sequence[Part]) -> tuple[list[StrArray] | None, str | None, list[str]]:
    """The paths of all recordings below the folder that holds those of all."""
    without = [part.name for part in parts if part.corpus.paths is None or part.corpus.audio_root is None]
    if without:
        some = len(without) < len(parts)
        return None, None, [f"no recordings, since {', '.join(without)} has none"] if some else []
    roots = [Path(os.path.normpath(Path(str(part.corpus.audio_root)).absolute())) for part in parts]
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError:  # on different drives
        return None, None, [f"no recordings: no folder holds those of {' and '.join(map(str, roots))}"]
    joined = []
    for part, own in zip(parts, roots, strict=True):
        below = own.relative_to(root)
        paths = [] if part.corpus.paths is None else part.corpus.paths[part.own].tolist()
        joined.append(np.array([(below / path).as_posix() for path in paths]))
    return joined, str(root), []


def _describe_same_audio(corpus: Corpus) -> list[str]:
    if corpus.audio_digests is None:
        return []
    twice = len(corpus) - len({digest.tobytes() for digest in corpus.audio_digests})
    verb = "recording has" if twice == 1 else "recordings have"
    return [f"{twice} {verb} the same samples as another one: `audit()` names them"] if twice else []
