"""Names as people type them: what is one name although it is written in several ways."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ser_store.audio.decode import AUDIO_SUFFIXES
from ser_store.errors import list_some

_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_‐-―-]+(?=[^\W_])")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_WITH_DECIMALS = re.compile(r"([+-]?[0-9]+)\.0+")
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
    """Return whether a cell says that there is no value: empty, or a data frame's or spreadsheet's word for that.

    >>> is_missing(" NaN "), is_missing("0")
    (True, False)
    """
    return text.strip().casefold() in _MISSING


def unite_spellings(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return every name in the spelling that most of its kind have, the first by code point where several have as many.

    Returns:
        the names, and for each that was written in several ways its other spellings, most frequent first.

    >>> unite_spellings(["Sad", "sad", "sad"])
    (['sad', 'sad', 'sad'], {'sad': ['Sad']})
    """
    kinds: dict[str, list[str]] = {}
    for spelling, _ in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])):
        kinds.setdefault(fold_text(spelling), []).append(spelling)
    chosen = {spelling: spellings[0] for spellings in kinds.values() for spelling in spellings}
    return [chosen[name] for name in names], {first: others for first, *others in kinds.values() if others}


def fold_name(name: str) -> str:
    """Return what two spellings of a class have in common; whole numbers are the same with and without decimals.

    >>> fold_name("Very_Happy"), fold_name("1.0")
    ('very happy', '1')
    """
    whole = _WITH_DECIMALS.fullmatch(name)
    return fold_text(whole[1] if whole else name)


def match_names(names: Iterable[str], known: Iterable[str], fold: Callable[[str], str] = fold_name) -> dict[str, str]:
    """Return the known name that each of ``names`` means; those that mean none, or several, are left out.

    A name means itself, else the only known one that is equal once both are folded.

    >>> match_names(["sad", "SAD", "Sad ", "mad"], ["sad", "SAD"]), match_names(["Sad"], ["sad"])
    ({'sad': 'sad', 'SAD': 'SAD'}, {'Sad': 'sad'})
    """
    known = dict.fromkeys(known)
    found = {name: name for name in names if name in known}
    others = [name for name in names if name not in known]
    folded: dict[str, list[str]] = {}
    for name in known if others else ():
        folded.setdefault(fold(name), []).append(name)
    for name in others:
        same = folded.get(fold(name), [])
        found |= {name: same[0]} if len(same) == 1 else {}
    return found


def unwrap_id(utterance: str) -> str:
    """Return an id as the name of its recording alone: no folders before it, no suffix after it, Unicode composed.

    >>> unwrap_id("actors/12/03-01-05-02-01-01-12.wav"), unwrap_id("a.b")
    ('03-01-05-02-01-01-12', 'a.b')
    """
    name = normalise_text(utterance).replace("\\", "/").rsplit("/", 1)[-1]
    stem, _, suffix = name.rpartition(".")
    return (stem if stem and f".{suffix.lower()}" in AUDIO_SUFFIXES else name) or utterance


def match_labels(labels: Collection[str], classes: Sequence[str], *, is_stated: bool) -> dict[str, str]:
    """Return the class that each label means: by its name, or where the order of the classes is stated, by its index.

    Labels are indices only if all of them are, and no class is called by a number.

    >>> match_labels(["Sad", "mad"], ["angry", "sad"], is_stated=True)
    {'Sad': 'sad'}
    >>> match_labels(["0", "1"], ["angry", "sad"], is_stated=True)
    {'0': 'angry', '1': 'sad'}
    """
    found = match_names(labels, classes)
    if found or not is_stated or any(name.isdecimal() for name in classes):
        return found
    indices = {str(place): name for place, name in enumerate(classes)}
    answers = [label for label in labels if not is_missing(label)]
    return {label: indices[label] for label in answers} if indices.keys() >= set(answers) else {}


def describe_spellings(read: Mapping[str, str], noun: str) -> list[str]:
    """Return one line on the names that were taken for others; none where all stand as they are known.

    >>> describe_spellings({"Sad ": "sad", "calm": "calm"}, "labels")
    ["labels read in the corpus' spelling: 'Sad ' as 'sad'"]
    """
    changed = [f"{name!r} as {known!r}" for name, known in read.items() if name != known]
    return [f"{noun} read in the corpus' spelling: {list_some(changed)}"] if changed else []
