"""All that a page shows, gathered from the other rooms as one document."""

from pathlib import Path
from typing import Any

from ser_store.evaluation import Evaluations
from ser_store.evaluation.choice.saved_ensembles import is_saved_ensemble
from ser_store.reporting.figures import compare_errors, describe_choice, iter_curves, list_members, search_best
from ser_store.reporting.packing import pack_classes, pack_shares
from ser_store.reporting.provenance import describe_provenance
from ser_store.reporting.question import Asked, describe_question
from ser_store.reporting.utterances import Audio, describe_hard, iter_slices
from ser_store_h5.names import Ensemble


def gather(asked: Asked, found: Evaluations, *, title: str | None, audio: Audio | None, beside: Path) -> dict[str, Any]:
    """Return the document that the page is made of; parameters as those of :func:`ser_store.reporting.report.report`.

    Args:
        asked: the question, settled.
        found: the figures of its members.
        title: the heading.
        audio: whether recordings are told of.
        beside: the folder of the page.
    """
    store, rows = asked.store, asked.rows
    members = list_members(store, found)
    names = [one["name"] for one in members]
    predicted, truth, n_classes = store.predictions(names, rows), store.corpus.labels[rows], len(store.corpus.classes)
    # A saved ensemble is no candidate unless it is named: its members are.
    candidates = [name for name in names if asked.members or not is_saved_ensemble(store, name)]
    searched = search_best(asked, candidates)
    choice = None if searched is None else describe_choice(searched)
    compared = names[:1] if choice is None else [str(Ensemble(choice["members"])), choice["best_single"]["member"]]
    return {
        "title": title or store.corpus.name,
        "question": describe_question(asked, found),
        "choice": choice,
        "members": members,
        "curves": list(iter_curves(asked, names)),
        "disagreement": compare_errors(names, predicted, truth, n_classes),
        "hard": describe_hard(asked, predicted, audio=audio, beside=beside),
        "slices": list(iter_slices(asked, list(dict.fromkeys(compared)))),
        "provenance": describe_provenance(asked, names, choice),
        "votes": {
            "truth": pack_classes(truth, n_classes),
            "predicted": [pack_classes(own, n_classes) for own in predicted],
            "shares": pack_shares(store, names, rows),
        },
    }
