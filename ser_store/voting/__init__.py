"""Voting: rules that turn the predictions of k members into one, and the search over all k-subsets."""
