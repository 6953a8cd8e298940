"""Folds, AUROC, the bootstrap over groups, and intervals (docs/definitions.md, "Intervals")."""
