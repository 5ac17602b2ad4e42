"""Voting ensembles from the store: one that is named, or the best of all there are."""

from ser_store.ensembles.report import Distribution, RankedEnsemble, VoteReport
from ser_store.ensembles.vote import vote
from ser_store.ensembles.vote_weights import read_weights

__all__ = ["Distribution", "RankedEnsemble", "VoteReport", "read_weights", "vote"]
