"""Ctrl-C and SIGTERM in a training run: they wait until an iteration is whole, so that its state can be saved.

Of several processes that train together all stop after the same iteration, or those that go on would wait for ever for
the ones that have left.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from qgait.interrupts import SIGNALS
from qgait.training import distributed

Handler = Callable[[int, FrameType | None], Any]
SAID = b"Stopping after this iteration; once more to stop at once.\n"


class HeldSignals:
    """As long as it is entered, a signal is only noted; ``check`` hands it on to whoever handled it before.

    A second one is handed on at once. Signals that nobody in Python handles do what they always do.
    """

    def __init__(self) -> None:
        self._before: dict[int, Handler] = {}
        self._asked = 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._before[number] = handler
                    signal.signal(number, self._hold)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._asked:
            number, self._asked = self._asked, 0
            signal.raise_signal(number)

    def check(self) -> None:
        """Raises what the signal would have raised, in all processes that train together, if one of them has got it."""
        number = distributed.largest(self._asked)
        if number:
            self._asked = 0
            handler = self._before.get(number)
            self.__exit__()
            if handler is not None:
                handler(number, None)
            self.__enter__()  # it was a handler that lets the program go on

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Work that may stop anywhere, unless other processes wait for it."""
        if distributed.world() > 1:
            yield
            return
        self.check()
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self._asked = 0
            self._before[number](number, frame)
            return
        self._asked = number
        if distributed.rank() == 0:
            os.write(2, SAID)
