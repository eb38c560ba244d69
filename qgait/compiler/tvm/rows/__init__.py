"""Convolutions row by row, for processors without dot products: a ring of input rows, a small tile, Winograd."""
