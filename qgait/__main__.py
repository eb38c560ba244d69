"""How the console script and ``python -m qgait`` begin: ready to be interrupted before anything is imported."""

import sys

from qgait.interrupts import Stopped, leave, listen, received


def main() -> None:
    """Runs one command and ends the process with its exit code."""
    code, said = 0, "qgait: interrupted; nothing is left half-written."
    listen()
    try:
        from qgait.cli import run
        from qgait.standard_streams import open_streams

        code = run(prepare=open_streams)
    except Stopped as stop:
        said = str(stop) if stop.args else said
    except BaseException:  # a library may turn the signal into an error of its own
        if received() is None:
            raise
    stopped = received()
    leave()
    if stopped is not None and said:
        print(said, file=sys.stderr)
    sys.exit(code if stopped is None else stopped)


if __name__ == "__main__":
    main()
