"""Choosing the grids of a trained network from a few clips, without training."""
