"""Examples, the readers that make them, splits and batches."""
