"""The proof: every runtime by its name, compared code by code with the integer reference."""
