"""One run: what its settings ask for, how it is trained and judged, and the folder that it leaves."""
