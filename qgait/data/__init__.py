"""Silhouettes: reading, checking, preparing and sampling them."""
