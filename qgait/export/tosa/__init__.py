"""The integer graph as TOSA 1.0."""
