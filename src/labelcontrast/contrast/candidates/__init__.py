"""Candidates from elsewhere than the batch: earlier batches, and other processes."""
