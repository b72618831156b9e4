"""Label sets as multi-hot matrices, and back."""
