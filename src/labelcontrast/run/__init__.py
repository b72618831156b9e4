"""One run: its stages, its folder, and use of a trained model."""
