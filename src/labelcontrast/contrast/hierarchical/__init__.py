"""Losses over a hierarchy, which comes as arrays: who is above whom, and how deep each label lies."""
