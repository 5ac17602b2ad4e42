"""Voting: arrays in; votes by a rule, and the best of all k-member ensembles out.

:func:`search_ensembles` takes arrays and votes every ensemble. The other searches, ``greedy.search_greedy``,
``pruned.search_pruned`` and ``cluster.distributed.search_distributed``, take what :func:`pose_problem` makes of arrays.
A rule alone loads no search.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_store.voting.checks import TIES as TIES
from ser_store.voting.quantize import Logits as Logits
from ser_store.voting.rules import RULES as RULES
from ser_store.voting.rules import Votes as Votes
from ser_store.voting.rules import hard_vote as hard_vote
from ser_store.voting.rules import soft_log_vote as soft_log_vote
from ser_store.voting.rules import soft_vote as soft_vote

if TYPE_CHECKING:
    from ser_store.voting.problem import pose_problem as pose_problem
    from ser_store.voting.scores import write_scores_parquet as write_scores_parquet
    from ser_store.voting.search import search_ensembles as search_ensembles

_HOMES = {"pose_problem": "problem", "search_ensembles": "search", "write_scores_parquet": "scores"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
