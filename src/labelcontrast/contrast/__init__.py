"""Contrastive losses on tensors: labels make pair weights, embeddings make similarities, they meet in one kernel."""
