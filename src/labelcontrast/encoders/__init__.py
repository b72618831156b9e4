"""Encoders of texts, pictures and feature vectors."""
