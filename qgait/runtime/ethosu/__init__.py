"""Ethos-U without the silicon: compiled segments, an interpreter of their command streams, Vela's estimates."""
