"""Problems that are stated to the user in one line: what was got, what was expected, the way out."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class SerstoreError(Exception):
    """A stated problem. Its text is one line and is all the command line prints before exiting with 1."""

    def __init__(self, text: str) -> None:
        # Names that came from outside may hold line feeds.
        super().__init__(" ".join(text.splitlines()))


class CorpusError(SerstoreError):
    """The labelled utterances contradict themselves or each other."""


class StoreError(SerstoreError):
    """The store, or a file in it, is not what was asked for."""


class FormatError(StoreError):
    """A file does not follow FORMAT.md, or follows a version this release does not know."""


class IntegrityError(StoreError):
    """A file follows FORMAT.md but its bytes are not those that were written."""


class ExistsError(StoreError):
    """What is to be written is there already; nothing written is overwritten unasked."""


class UnknownNameError(SerstoreError):
    """A name that nothing bears; the message offers the nearest ones."""


class MissingExtraError(SerstoreError):
    """An optional dependency that is not installed."""


def describe_problem(problem: BaseException) -> str:
    """Return the first sentence of an error, short enough for a message of our own."""
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return lines[0].split(". ")[0].strip(" .:")[:200]


def describe_unknown(kind: str, name: str, known: Iterable[str], *, way_out: str = "") -> str:
    """One line for an unknown ``name``: the nearest known names first, then the others (at most 12 in all).

    >>> describe_unknown("label", "hapy", ["angry", "happy", "sad"])
    "unknown label 'hapy': expected one of happy (nearest), angry, sad"
    """
    known = list(known)
    cased = {candidate.casefold(): candidate for candidate in reversed(known)}
    near = [one for one in known if len(name) > 1 and name == "".join(word[:1] for word in one.split("_"))]
    near = near or [cased[found] for found in get_close_matches(name.casefold(), cased, n=3, cutoff=0.5)]
    ordered = near + [candidate for candidate in known if candidate not in near]
    shown = [f"{candidate} (nearest)" if candidate in near[:1] else candidate for candidate in ordered[:12]]
    rest = f", … ({len(ordered)} in all)" if len(ordered) > 12 else ""
    expected = f"expected one of {', '.join(shown)}{rest}" if shown else "there are none yet"
    return f"unknown {kind} {name!r}: {expected}" + (f"; {way_out}" if way_out else "")


def list_some(texts: Sequence[str], most: int = 3, *, mark: str = ", ") -> str:
    """Return the first of many, and how many more there are.

    >>> list_some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return mark.join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
