"""Ethos-U: the parts that run on it, what Vela makes of them, and the driver calls of the library beside it."""
