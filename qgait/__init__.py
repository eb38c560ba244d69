"""qgait: gait recognition on low-power hardware."""

__version__ = "0.1.0"
