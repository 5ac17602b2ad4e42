"""Voting: arrays in; votes by a rule, and the best of all k-member ensembles out.

:func:`search_ensembles` takes arrays and votes every ensemble. The other searches, ``greedy.search_greedy``,
``pruned.search_pruned`` and ``cluster.distributed.search_distributed``, take what :func:`pose_problem` makes of arrays.
"""

from ser_store.voting.problem import Problem, count_ensembles, pose_problem
from ser_store.voting.quantize import Logits
from ser_store.voting.rules import RULES, TIES, Votes, hard_vote, soft_log_vote, soft_vote
from ser_store.voting.scores import compute_scores, write_scores_parquet
from ser_store.voting.search import EnsembleScore, SearchResult, search_ensembles

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
