"""Runs over a hierarchy of labels: how it is found, what examples, scores and predictions become, what is measured."""
