"""Ctrl-C, SIGTERM and SIGHUP as one exception, from the first import to the last line.

``Stopped`` is no Exception and no KeyboardInterrupt, so no library takes it for its own: everything on the way cleans
up in its ``finally``, and the process ends with 128 + the signal's number, as shells count. This imports nothing but
what Python has loaded at its start: ``signal`` itself takes the time of the Ctrl-C that it should notice.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import os
import sys
import time

SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


LATER = 0.02  # seconds, in which the destructor ends


class Stopped(BaseException):
    """Raised in the main thread by the first signal; a run that can go on puts what it left as the argument."""


class _State:
    number: int | None = None
    at_once = False


def listen() -> None:
    """From now on a signal raises Stopped; a second one ends the process on the spot. What is ignored stays ignored."""
    for number in SIGNALS:
        if _signal.getsignal(number) in (_signal.SIG_DFL, _signal.default_int_handler):
            _signal.signal(number, _handle)
    sys.unraisablehook = _not_lost


def received() -> int | None:
    """The exit code that a signal has asked for; None before there was one."""
    return None if _State.number is None else 128 + _State.number


def leave() -> None:
    """From now on a signal ends the process without a word: only the interpreter's own end is left to do."""
    _State.at_once = True


def _handle(number: int, _: object) -> None:
    if _State.at_once or _State.number is not None:
        os._exit(128 + number)
    _State.number = number
    raise Stopped


def _again(number: int) -> None:
    time.sleep(LATER)
    _State.number = None
    os.kill(os.getpid(), number)


def _not_lost(unraisable: sys.UnraisableHookArgs) -> None:
    """Where Python drops exceptions, as in destructors, the signal is sent again."""
    if isinstance(unraisable.exc_value, Stopped) and _State.number is not None:
        _thread.start_new_thread(_again, (_State.number,))
    else:
        sys.__unraisablehook__(unraisable)
