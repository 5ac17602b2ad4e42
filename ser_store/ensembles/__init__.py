"""Voting ensembles from the store: one that is named, or the best of all there are."""

from ser_store.ensembles.options import Correction, Limits, Search
from ser_store.ensembles.ranking import RankedEnsemble
from ser_store.ensembles.report import Distribution, VoteReport
from ser_store.ensembles.vote import vote
from ser_store.ensembles.vote_weights import read_weights

__all__ = [
    "Correction",
    "Distribution",
    "Limits",
    "RankedEnsemble",
    "Search",
    "VoteReport",
    "read_weights",
    "vote",
]
