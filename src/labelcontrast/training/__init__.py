"""Training of any encoder under any loss(projections or logits, labels)."""
