"""Scores and predictions over a hierarchy of labels, which comes as sparse matrices: consistent ones, and how good."""
