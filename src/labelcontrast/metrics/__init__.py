"""Measures of predictions and of embeddings."""
