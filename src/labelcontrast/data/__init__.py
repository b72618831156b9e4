"""Examples: reading, checking, splitting, and batches of them."""
