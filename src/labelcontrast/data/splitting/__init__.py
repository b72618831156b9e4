"""Train, validation and test; smaller training sets; folds."""
