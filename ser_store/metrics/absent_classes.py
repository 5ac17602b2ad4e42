"""What figures say, and do not, where some of the classes do not occur."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ser_store.errors import list_some
from ser_store.metrics.class_indices import ABSTAINED, check_truth

# Names that are listed before the list is cut short.
_SHOWN = 8


def caution_absent_classes(
    truth: ArrayLike, classes: Sequence[str], *, predicted: ArrayLike | None = None
) -> tuple[str, ...]:
    """Return a caution for classes that are never true: they count in no average, and kappa needs two classes.

    Args:
        truth: ``(n,)`` class indices in ``0..c-1``.
        classes: the names of the ``c`` classes.
        predicted: ``(n,)`` or ``(m, n)`` class indices, or -1, an abstention; None where only the truth is at hand.

    Returns:
        A line for each; empty where every class occurs.

    Raises:
        MetricError: if the truth is no class indices.

    >>> caution_absent_classes([0, 0], ["happy", "sad"])[0]
    'sad does not occur here: balanced accuracy and macro averages are those of happy alone'
    """
    present = set(check_truth(truth).tolist())  # np.unique would import numpy.ma: 15 ms
    absent = [place for place in range(len(classes)) if place not in present]
    if not absent:
        return ()
    of = f"{classes[min(present)]} alone" if len(present) == 1 else f"the other {len(present)} classes"
    names, verb = list_some([classes[place] for place in absent], _SHOWN), "does" if len(absent) == 1 else "do"
    cautions = [f"{names} {verb} not occur here: balanced accuracy and macro averages are those of {of}"]
    said = set() if predicted is None else set(np.asarray(predicted).ravel().tolist()) - {ABSTAINED}
    if imagined := [classes[place] for place in absent if place in said]:
        verb = "is" if len(imagined) == 1 else "are"
        cautions.append(
            f"{list_some(imagined, _SHOWN)} {verb} predicted, but never true here: wrong, and in no average"
        )
    if len(present) == 1:
        cautions.append("with a single true class Cohen's kappa and Matthews' correlation are 0, whatever is predicted")
    return tuple(cautions)


def caution_unanswered(names: Sequence[str], predicted: ArrayLike) -> tuple[str, ...]:
    """Return a caution for each member some of whose answers are none of the classes, which counts as wrong.

    Args:
        names: of the ``m`` members.
        predicted: ``(m, n)`` class indices, or -1 for an answer that is none of them.

    >>> caution_unanswered(["a@1"], [[0, -1, 1]])
    ('1 of 3 answers of a@1 are none of the classes: they count as wrong',)
    """
    answers = np.asarray(predicted)
    counts = (answers == ABSTAINED).sum(axis=1).tolist()
    return tuple(
        f"{count} of {answers.shape[1]} answers of {name} are none of the classes: they count as wrong"
        for name, count in zip(names, counts, strict=True)
        if count
    )


def caution_one_class(names: Sequence[str], predicted: ArrayLike, classes: Sequence[str]) -> tuple[str, ...]:
    """Return a caution for the members that give every utterance the same class, those of each class together.

    Args:
        names: of the ``m`` members.
        predicted: ``(m, n)`` class indices, or -1 for no answer.
        classes: the names of the classes.

    >>> caution_one_class(["a@1", "b@1"], [[0, 0, 0], [0, 1, 0]], ["happy", "sad"])
    ('a@1 predicts one class only, happy: its accuracy is the share of that class',)
    """
    found: dict[int, list[str]] = {}
    for name, own in zip(names, np.asarray(predicted), strict=True):
        said = set(own.tolist())
        if len(said) == 1 and len(own) > 1 and ABSTAINED not in said:
            found.setdefault(said.pop(), []).append(name)
    return tuple(
        f"{list_some(own, _SHOWN)} {'predicts' if len(own) == 1 else 'predict'} one class only, {classes[place]}: "
        f"{'its' if len(own) == 1 else 'their'} accuracy is the share of that class"
        for place, own in sorted(found.items())
    )
