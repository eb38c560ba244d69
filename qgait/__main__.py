"""``python -m qgait`` is the command line."""

from qgait.cli import main

if __name__ == "__main__":
    main()
