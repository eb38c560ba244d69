"""Convolutions for processors without dot products, where multiplications are what counts.

Input rows are kept as they are, in a ring, and small tiles go along them; Winograd's transforms save three products of
four where a layer has the shape for it.
"""
