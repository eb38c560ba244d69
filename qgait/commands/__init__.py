"""The commands, one file each; :mod:`qgait.cli` puts them together."""
