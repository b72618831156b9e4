"""Studies, comparisons, searches and rankings over many runs."""
