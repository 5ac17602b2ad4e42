"""Voting: arrays in; votes by a rule, and the best of all k-member ensembles out.

:func:`search_ensembles` takes arrays and votes every ensemble. The other searches, ``greedy.search_greedy``,
``pruned.search_pruned`` and ``cluster.distributed.search_distributed``, take what :func:`pose_problem` makes of arrays.
A rule alone loads no search.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_store.voting.checks import TIES
from ser_store.voting.quantize import Logits
from ser_store.voting.rules import RULES, Votes, hard_vote, soft_log_vote, soft_vote

if TYPE_CHECKING:
    from ser_store.voting.problem import Problem, count_ensembles, pose_problem
    from ser_store.voting.scores import compute_scores, write_scores_parquet
    from ser_store.voting.search import EnsembleScore, SearchResult, search_ensembles

_HOMES = {
    "EnsembleScore": "search",
    "Problem": "problem",
    "SearchResult": "search",
    "compute_scores": "scores",
    "count_ensembles": "problem",
    "pose_problem": "problem",
    "search_ensembles": "search",
    "write_scores_parquet": "scores",
}

__all__ = [
    "RULES",
    "TIES",
    "EnsembleScore",
    "Logits",
    "Problem",
    "SearchResult",
    "Votes",
    "compute_scores",
    "count_ensembles",
    "hard_vote",
    "pose_problem",
    "search_ensembles",
    "soft_log_vote",
    "soft_vote",
    "write_scores_parquet",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
