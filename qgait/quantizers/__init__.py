"""Grids, rounding and the simulated-quantization network (the ``fake`` level)."""
