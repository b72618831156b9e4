"""The measures of a multi-label prediction."""
