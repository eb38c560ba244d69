"""The version, for files that qgait writes."""

__version__ = "0.1.0"
