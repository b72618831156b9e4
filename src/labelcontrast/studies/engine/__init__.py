"""Independent trials, each run once: named by what they depend on, kept as they end, shared out over processes."""
