"""How well embeddings tell people apart: distances, metrics and the protocols of the data sets."""
