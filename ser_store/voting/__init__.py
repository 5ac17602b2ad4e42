"""Voting: rules that turn the predictions of k members into one, and the search over all k-subsets."""

from ser_store.voting.problem import count_ensembles
from ser_store.voting.quantize import Logits
from ser_store.voting.rules import RULES, TIES, Votes, hard_vote, soft_log_vote, soft_vote
from ser_store.voting.scores import compute_scores, write_scores_parquet
from ser_store.voting.search import EnsembleScore, SearchResult, search_ensembles

__all__ = [
    "RULES",
    "TIES",
    "EnsembleScore",
    "Logits",
    "SearchResult",
    "Votes",
    "compute_scores",
    "count_ensembles",
    "hard_vote",
    "search_ensembles",
    "soft_log_vote",
    "soft_vote",
    "write_scores_parquet",
]
