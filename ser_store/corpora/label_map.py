"""What the labels of different corpora mean: a small TOML file that gives each of them a class, or drops it."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store.common.documents import load_toml
from ser_store.corpora.texts import match_names
from ser_store.errors import CorpusError, list_some

_DROP, _REST = "drop", "rest"
_EXAMPLE = 'lines such as angry = ["anger", "A"] and drop = "rest"'
_SHOWN = 6


@dataclass(frozen=True)
class LabelMap:
    """Which class each label means.

    Attributes:
        file: where it was read from.
        classes: the class of each label that is listed, and of each class itself; None for those that are dropped.
        drops_rest: whether a label that is not listed is dropped; else it is a class of its own.
    """

    file: str
    classes: Mapping[str, str | None]
    drops_rest: bool = False

    def apply(self, labels: Iterable[str]) -> list[str | None]:
        """Return the class of each label, None for those that are dropped.

        A label means what it is listed under, else what the only listed one of another spelling is (see
        :func:`ser_store.corpora.texts.fold_name`), else itself or nothing.
        """
        labels = list(labels)
        found = self._match(labels)
        return [found[label] for label in labels]

    def describe(self, labels: Iterable[str]) -> list[str]:
        """Return a line on which labels became another class, and one on which were dropped, with their numbers."""
        counts = Counter(labels)
        found = self._match(counts)
        renamed: dict[str, list[str]] = {}
        for label, name in sorted(found.items()):
            if name is not None and name != label:
                renamed.setdefault(name, []).append(label)
        dropped = [f"{label} ({counts[label]})" for label, name in sorted(found.items()) if name is None]
        lines = []
        if renamed:
            said = [f"{', '.join(others)} as {name}" for name, others in sorted(renamed.items())]
            lines.append(f"labels read by {self.file}: {list_some(said, _SHOWN, mark='; ')}")
        if dropped:
            lines.append(f"labels dropped by {self.file}: {list_some(dropped, _SHOWN)}")
        return lines

    def _match(self, labels: Iterable[str]) -> dict[str, str | None]:
        listed = match_names(labels, self.classes)
        rest = {label: None if self.drops_rest else label for label in labels if label not in listed}
        return {**{label: self.classes[known] for label, known in listed.items()}, **rest}


def read_label_map(path: str | os.PathLike[str]) -> LabelMap:
    """Read a label map: a TOML file with a line for each class, of the labels that mean it.

    A class is always listed under itself. ``drop`` lists labels whose utterances are left out; ``drop = "rest"`` leaves
    out all that are not listed, which otherwise keep their names.

    Raises:
        CorpusError: if a label is listed twice, or a line lists anything but texts and whole numbers.
        SerstoreError: if the file cannot be read, or is no TOML.

    >>> _ = Path("map.toml").write_text('angry = ["anger", "A"]\\nsad = "sadness"\\ndrop = "rest"\\n')
    >>> read_label_map("map.toml").apply(["A", "Anger", "sad", "calm"])
    ['angry', 'angry', 'sad', None]
    """
    stated = load_toml(Path(path), expected="a label map", example=_EXAMPLE)
    lines = {name: _list_labels(path, name, own) for name, own in stated.items() if (name, own) != (_DROP, _REST)}
    classes: dict[str, str | None] = {name: name for name in lines if name != _DROP}
    for name, labels in lines.items():
        meant = None if name == _DROP else name
        for label in labels:
            if classes.get(label, meant) != meant:
                raise CorpusError(
                    f"{path}: label {label!r} is listed under {name} and means {classes[label] or 'what is dropped'}: "
                    "expected every label once"
                )
            classes[label] = meant
    if not classes:
        raise CorpusError(f"{path} lists no label: expected {_EXAMPLE}")
    return LabelMap(os.fspath(path), classes, stated.get(_DROP) == _REST)


def _list_labels(path: str | os.PathLike[str], name: str, stated: Any) -> list[str]:
    labels = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(one, str | int) and not isinstance(one, bool) and one != "" for one in labels):
        raise CorpusError(f"{path}: {name} is {stated!r}: expected the labels that mean it, {_EXAMPLE}")
    return [str(one) for one in labels]
