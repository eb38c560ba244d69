"""Walkers drawn from learned gait statistics and rendered as silhouettes: data for tests and demos."""
