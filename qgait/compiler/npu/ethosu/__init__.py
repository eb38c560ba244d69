"""Ethos-U: which operators it takes, the form in which its compiler Vela gets them, and what Vela makes of them."""
