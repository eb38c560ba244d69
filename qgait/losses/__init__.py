"""Losses over embeddings [n, P, C] and logits [n, classes, P]."""
