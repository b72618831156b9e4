"""How good an embedding is: linear probe, thresholds and metrics. Arrays in, plain numbers out."""
