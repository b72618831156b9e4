"""Grids of experiments under one protocol, and the tables over them."""
