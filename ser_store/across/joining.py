"""``join``: one store of several, with what the same models said of each corpus taken along."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store.across.joined_corpus import join_corpora
from ser_store.across.joined_members import find_joint, write_joint
from ser_store.across.pairs import name_sites
from ser_store.common.display import Block, Result, format_count
from ser_store.corpora.label_map import read_label_map
from ser_store.errors import StoreError, list_some
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import Store, StoreLike, open_store


@dataclass(frozen=True, repr=False)
class Joined(Result):
    """What a join did.

    Attributes:
        store: the joined store.
        path: its folder, as it was named.
        members: that were taken along now.
        there: members that had been taken along before.
        left_out: why, by the name of each other member.
        notes: a line for each thing that was changed or left out of the corpora.
    """

    store: Store
    path: Path
    members: tuple[str, ...]
    there: tuple[str, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore join`` prints."""
        corpus = self.store.corpus
        speakers = f", {len(corpus.known_speakers)} speakers" if corpus.known_speakers else ""
        classes = f"{len(corpus.classes)} classes: {', '.join(corpus.classes)}"
        yield f"{corpus.name}: {len(corpus)} utterances{speakers}, {classes}"
        yield f"splits: {', '.join(corpus.splits) or 'none'}"
        yield from self.notes
        named = f" ({', '.join(self.members)})" if self.members else ""
        there = f", {len(self.there)} were there already" if self.there else ""
        yield f"took along {format_count(len(self.members), 'member')}{named}{there}"
        reasons: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            yield f"left out, {why}: {list_some(names, 4)}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member: ``member``, and ``left_out``, why; None for those that were taken along."""
        taken = [{"member": name, "left_out": None} for name in (*self.members, *self.there)]
        return taken + [{"member": name, "left_out": why} for name, why in self.left_out.items()]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore join --json``."""
        corpus = self.store.corpus
        return {
            "store": str(self.path),
            "corpus": corpus.name,
            "n": len(corpus),
            "classes": list(corpus.classes),
            "splits": list(corpus.splits),
            "members": list(self.members),
            "there": list(self.there),
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }


def join(
    stores: StoreLike | Sequence[StoreLike],
    path: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    progress: ProgressLike = False,
) -> Joined:
    """Make one store of several, of different corpora; what the same model said of each is taken along.

    Ids and speakers that several corpora have get the name of their corpus as a prefix: speakers are never taken for
    the same. A column ``corpus`` says which corpus an utterance is of, and a split ``corpus`` has a fold for each, so
    that ``head(cv="corpus")`` leaves one corpus out at a time. Splits that all have stay. Of members of the same name
    and the same model the representations and answers are taken along, and nothing is extracted again. One store alone,
    with a label map, gets other classes.

    A kill leaves a valid store; the same join, run again, goes on from there. The stores stay as they are.

    Args:
        stores: one or more.
        path: the folder of the joined store: a new one, or one that this join was begun in.
        labels: a label map that says which labels mean the same, and which utterances are dropped. Default: all classes
            of all corpora.
        progress: show a bar over the members; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Raises:
        CorpusError: if no utterance of a corpus is left.
        StoreError: if a store is named twice, or the folder holds another corpus or anything else.

    >>> import numpy as np, ser_store as ss
    >>> for name, label in (("a", "sad"), ("b", "calm")):
    ...     store = ss.Store.create(f"{name}.store", ids=["1", "2"], labels=["happy", label], speakers=["x", "y"])
    ...     _ = store.add("mine", ids=["1", "2"], pooled=np.eye(2), trained_on="nothing")
    >>> both = ss.join(["a.store", "b.store"], "both.store")
    >>> both.store.corpus.ids.tolist(), both.store.corpus.classes, both.members
    (['a-1', 'a-2', 'b-1', 'b-2'], ('calm', 'happy', 'sad'), ('mine@0',))
    """
    given = [stores] if isinstance(stores, str | os.PathLike | Store) else list(stores)
    opened, path = [open_store(one) for one in given], Path(path)
    _refuse_same(opened, path)
    meant = None if labels is None else read_label_map(labels)
    if len(opened) == 1 and meant is None:
        raise StoreError(f"got {opened[0].path} alone: expected several stores, or one with `labels`")
    joined = join_corpora([one.corpus for one in opened], name_sites(opened), path.stem, meant)
    if (path / "corpus.h5").is_file():
        store = Store(path)
        store.refuse_other_corpus(joined.corpus)
    else:
        store = Store.create(path, joined.corpus)
    joint, left_out = find_joint(opened)
    done = [one.name for one in joint if one.name in store.member_names()]
    ahead = [one for one in joint if one.name not in done]
    for one in to_progress(progress)(ahead, total=len(ahead), label="joining"):
        write_joint(one, store, opened, joined.parts)
    return Joined(store, path, tuple(one.name for one in ahead), tuple(done), left_out, joined.notes)


def _refuse_same(stores: Sequence[Store], path: Path) -> None:
    paths = [one.path.resolve() for one in stores]
    if not paths or len(set(paths)) < len(paths) or path.resolve() in paths:
        said = ", ".join(map(str, paths)) or "none"
        raise StoreError(f"got the stores {said} for {path}: expected different ones, and another folder for all")
