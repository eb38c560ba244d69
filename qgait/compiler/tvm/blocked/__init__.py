"""Convolutions for processors with dot products, where the multiplications cost little and loads are what counts.

Input rows are gathered into blocks of 16 input channels, weights are packed to match, and a tile of pixels x output
channels fills all registers: whatever is loaded is used many times.
"""
