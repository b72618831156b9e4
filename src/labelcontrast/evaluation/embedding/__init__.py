"""How good an embedding is without a probe."""
