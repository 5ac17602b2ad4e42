"""What a run's stored scores are: logits, probabilities, or something else that soft voting must not add up."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError, describe_unknown, list_some
from ser_store.metrics import softmax
from ser_store.voting.quantize import Logits
from ser_store_h5.names import parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

KEY = "scores"
KINDS = ("logits", "probabilities", "log-probabilities", "scores")
# What :func:`caution_scores` is asked about.
SOFT_VOTES, CONFIDENCE, LOSSES = "soft voting", "ties by confidence", "log-loss, Brier score and calibration error"

# Neither an SVM's decision values nor shares of nine neighbours are probabilities, whatever their softmax adds up to.
_DESCRIPTIONS = {
    "svm": "an SVM's decision values",
    "linear-svm": "an SVM's decision values",
    "ridge": "a ridge classifier's decision values",
    "knn": "shares of a k-NN's neighbours",
}
_WAY_OUT = "`calibrate()` makes probabilities of them, `rule` hard counts every vote alike"
# A logarithm in float32 tells a probability to so many decimals.
_DECIMALS = 6


def find_kind(store: Store, run: str) -> str:
    """Return what the ``logits`` of a run hold.

    Of ``logits``, ``probabilities`` and ``log-probabilities`` the softmax gives the probabilities that are claimed
    (probabilities are stored as their logarithms); of ``scores``, such as an SVM's decision values, nothing does.

    Raises:
        StoreError: if the run's record says anything else.
    """
    record = store.run(run)
    kind = record.details.get(KEY)
    if kind is None:
        # Heads that were fitted before their runs said so, and networks.
        if record.kind != "head":
            return "logits"
        return "scores" if _name_head(record) in _DESCRIPTIONS else "log-probabilities"
    if kind not in KINDS:
        raise StoreError(describe_unknown(f"kind of scores in the record of {run}", str(kind), KINDS))
    return str(kind)


def describe_scores(record: RunRecord) -> str:
    """Return in words what the scores of a run are that are no probabilities."""
    return _DESCRIPTIONS.get(_name_head(record), "scores that are no probabilities")


def load_probabilities(store: Store, members: Sequence[str], rows: NDArray[np.int32]) -> NDArray[np.float64]:
    """Load the probabilities that members give each class, ``(m, n_rows, c)`` float64: the softmax of their scores.

    Of imported probabilities six decimals are left: the store holds their logarithms in float32.

    Raises:
        StoreError: if a member covers not all the rows, or has labels only.
    """
    probabilities = softmax(store.logits(members, rows))
    for place, member in enumerate(members):
        run = parse_member(member)[0]
        if store.run(run).kind == "import" and find_kind(store, run) == "log-probabilities":
            probabilities[place] = probabilities[place].round(_DECIMALS)
    return probabilities


def load_shares(
    store: Store, members: Sequence[str], rows: NDArray[np.int32], *, rule: str
) -> NDArray[np.float64] | Logits:
    """Return what the voting rule adds up: probabilities; of ``soft-log`` the stored scores, whose sums are exact.

    Raises:
        StoreError: as :func:`load_probabilities`.
    """
    return Logits(store.logits(members, rows)) if rule == "soft-log" else load_probabilities(store, members, rows)


def caution_scores(store: Store, members: Sequence[str], *, of: str) -> tuple[str, ...]:
    """Return a line that names the members whose scores are no probabilities, and what they hold; none if all are.

    Args:
        members: full names, all of which hold scores.
        of: what takes them for probabilities: ``SOFT_VOTES``, ``CONFIDENCE`` or ``LOSSES``. Votes are of all members
            together: the line names the others as well, and the way out.

    Raises:
        StoreError: if a run's record states an unknown kind of scores.
    """
    holders: dict[str, list[str]] = {}
    rest = []
    for member in dict.fromkeys(members):
        run = parse_member(member)[0]
        kind = find_kind(store, run)
        if kind == "scores":
            holders.setdefault(describe_scores(store.run(run)), []).append(member)
        else:
            rest.append(member)
    if not holders or (of != LOSSES and len(rest) + sum(map(len, holders.values())) < 2):
        return ()
    held = "; ".join(f"{_list_names(names, 'holds', 'hold')} {what}" for what, names in holders.items())
    if of == LOSSES:
        return (f"{held}: their {of} are those of the softmax, which makes no probabilities of them",)
    others = f"; {_list_names(rest, 'holds', 'hold')} probabilities or logits" if rest else ""
    way_out = "`tie` lowest asks for none" if of == CONFIDENCE else _WAY_OUT
    verb = "add" if of == CONFIDENCE else "adds"
    return (f"{of} {verb} up the softmax of what is not on one scale: {held}{others}; {way_out}",)


def _name_head(record: RunRecord) -> str:
    return str(record.details.get("head")) if record.kind == "head" else ""


def _list_names(members: Sequence[str], one: str, several: str) -> str:
    return f"{list_some(members)} {one if len(members) == 1 else several}"
