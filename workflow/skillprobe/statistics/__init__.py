"""Folds, AUROC, the bootstrap over groups, and intervals (ESTIMANDS)."""
