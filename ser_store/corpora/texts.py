"""Names as people type them: what is one name although it is written in several ways."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_‐-―-]+(?=[^\W_])")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "nat", "none", "null"})


def normalise_text(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), without white space at its ends.

    >>> normalise_text(" Mu\\u0308ller ")
    'Müller'
    """
    return unicodedata.normalize("NFC", text).strip()


def fold_text(text: str) -> str:
    """Return what two spellings of one name have in common.

    Case, Unicode form, invisible characters, and white space, hyphens or underscores between words do not count, nor
    a plus or zeros before a whole number.

    >>> fold_text("Very_HAPPY") == fold_text(" very happy"), fold_text("01") == fold_text("1"), fold_text("-1")
    (True, True, '-1')
    """
    visible = "".join(mark for mark in text if unicodedata.category(mark) != "Cf")
    folded = normalise_text(normalise_text(visible).casefold())
    return str(int(folded)) if _WHOLE_NUMBER.fullmatch(folded) else _BETWEEN_WORDS.sub(" ", folded)


def is_missing(text: str) -> bool:
    """Return whether a cell says that there is no value: empty, or a data frame's or spreadsheet's word for that."""
    return text.strip().casefold() in _MISSING


def unite_spellings(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return every name in the spelling that most of its kind have, the first by code point where several have as many.

    Returns:
        the names, and for each that was written in several ways its other spellings, most frequent first.
    """
    kinds: dict[str, list[str]] = {}
    for spelling in _by_frequency(names):
        kinds.setdefault(fold_text(spelling), []).append(spelling)
    chosen = {spelling: spellings[0] for spellings in kinds.values() for spelling in spellings}
    return [chosen[name] for name in names], {first: others for first, *others in kinds.values() if others}


def _by_frequency(names: Iterable[str]) -> list[str]:
    return [name for name, _ in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))]
