"""Linear probes on embeddings, thresholds, and calibration."""
