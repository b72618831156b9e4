"""Linear probes: what can be read off frozen features by one hyperplane a label, or by several averaged."""
