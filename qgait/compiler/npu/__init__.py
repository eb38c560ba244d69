"""A network that is split between an NPU and the core beside it: what runs where, and the bundle of both.

The NPUs that there are so far are Arm's Ethos-U; what is theirs alone, and Vela's, is in ``ethosu/``.
"""
