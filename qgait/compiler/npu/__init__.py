"""A network that is split between an NPU and the core beside it."""
