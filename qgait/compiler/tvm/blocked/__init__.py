"""Convolutions with dot products: input rows gathered into blocks of 16 input channels, register tiles."""
