"""Encoders that others have trained: transformers for text and pictures, timm for pictures."""
