"""Evaluation and comparison of members from the store."""

from ser_store.evaluation.choice.member_choice import choose_members, name_part
from ser_store.evaluation.members import Evaluations, MemberEvaluation, evaluate
from ser_store.evaluation.slices import find_groups

__all__ = ["Evaluations", "MemberEvaluation", "choose_members", "evaluate", "find_groups", "name_part"]
