"""Losses on projections and on logits."""
