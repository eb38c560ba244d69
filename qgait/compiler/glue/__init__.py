"""The C around the kernels: the four calls of gait.h, and what a frame or an embedding runs."""
