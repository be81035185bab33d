"""The gradient taken apart by labels of paths: folds, rows, groups."""
