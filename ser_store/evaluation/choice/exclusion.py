"""What a question leaves out: members by name or by pattern, and utterances by class."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import StoreError, UnknownNameError, describe_unknown
from ser_store_h5.corpus import Corpus


class Exclusion:
    """Members, runs and patterns that are left out. Call it with a name to ask whether that is; nothing is read of it.

    Attributes:
        patterns: as they were given.
        names: runs and members that have been left out so far.

    >>> exclude = Exclusion(["hubert-*"])
    >>> [name for name in ("hubert-base@900", "xlsr53@1100") if not exclude(name)], exclude.names
    (['xlsr53@1100'], ['hubert-base@900'])
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self.names: list[str] = []
        self._met: set[str] = set()

    def __call__(self, name: str) -> bool:
        meant = [pattern for pattern in self.patterns if matches(name, pattern)]
        self._met.update(meant)
        if meant:
            self.names.append(name)
        return bool(meant)

    def check(self, left: Sequence[str]) -> None:
        """Refuse a pattern that meant nobody, and to leave nobody.

        Raises:
            UnknownNameError: naming those that are nearest.
            StoreError: if there are none left.
        """
        self.check_patterns(left, kind="member")
        if self.patterns and not left:
            raise StoreError("`exclude` leaves no member: expected at least one; exclude fewer")

    def check_patterns(self, left: Sequence[str], *, kind: str) -> None:
        """Refuse a pattern that meant nobody, with those of the ``kind`` that are left.

        Raises:
            UnknownNameError: naming those that are nearest.
        """
        for pattern in self.patterns:
            if pattern not in self._met:
                raise UnknownNameError(describe_nobody("exclude", pattern, left, kind=kind))


def is_pattern(name: str) -> bool:
    """Return whether ``name`` holds what no member's name does: ``*``, ``?`` or ``[``."""
    return any(mark in name for mark in "*?[")


def are_named(members: Sequence[str]) -> bool:
    """Return whether members are named, each by its own name: neither all are meant, nor those that fit a pattern.

    >>> are_named(["a", "b@1"]), are_named([]), are_named(["a", "b*"])
    (True, False, False)
    """
    return bool(members) and not any(map(is_pattern, members))


def matches(name: str, pattern: str) -> bool:
    """Return whether ``pattern`` means the member ``name``: a member, a run, or either with ``*``, ``?`` and ``[]``.

    >>> matches("xlsr53@1100", "xlsr53"), matches("xlsr53@1100", "*@1100"), matches("xlsr53@1100", "xlsr")
    (True, True, False)
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name_run(name), pattern)


def name_run(name: str) -> str:
    """Return the run of a member ``run@step``."""
    return name.partition("@")[0]


def describe_nobody(option: str, pattern: str, names: Sequence[str], *, kind: str) -> str:
    """Return the refusal of a pattern that means none of ``names``."""
    known = [*dict.fromkeys(name_run(name) for name in names), *names]
    return describe_unknown(f"{kind} to {option}", pattern, known, way_out="a pattern such as 'hubert-*' is possible")


def choose_classes(
    corpus: Corpus, rows: NDArray[np.int32], classes: Sequence[str]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return those of ``rows`` that are labelled with one of ``classes``, and a line on the others; none means all.

    Raises:
        StoreError: if there are none.
        UnknownNameError: if the corpus has no such class.

    >>> import ser_store as ss
    >>> corpus = ss.open_example().corpus
    >>> rows, said = choose_classes(corpus, corpus.rows("test"), ["angry", "sad"])
    >>> len(rows), said
    (76, ('of 288 utterances the 76 of angry, sad alone are judged on',))
    """
    for name in classes:
        check_choice("class", name, corpus.classes)
    if not classes or set(classes) == set(corpus.classes):
        return rows, ()
    kept = rows[np.isin(corpus.labels[rows], [corpus.classes.index(name) for name in classes])]
    if not len(kept):
        raise StoreError(
            f"none of the {len(rows)} utterances is of {', '.join(classes)}: expected some; name another `on`"
        )
    said = f"of {len(rows)} utterances the {len(kept)} of {', '.join(classes)} alone are judged on"
    return kept, (said,) if len(kept) < len(rows) else ()
