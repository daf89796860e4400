"""Ours: a search over cuts, splits, subsets and shares."""
