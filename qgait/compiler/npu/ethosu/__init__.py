"""Ethos-U: which operators it takes, the form it gets them in, and Vela."""
