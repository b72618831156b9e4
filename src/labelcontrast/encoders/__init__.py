"""Encoders: texts, pictures or feature vectors in, embeddings out."""
