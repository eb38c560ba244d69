"""The same work on many things, in several processes, none of which outlives this one, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from qgait.errors import QgaitError

Result = TypeVar("Result")


def run_each(
    function: Callable[..., Result], work: Sequence[tuple[object, ...]], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Call ``function(*arguments)`` for all arguments in ``work``; yield (index in ``work``, result) as they finish.

    ``jobs`` processes share the work; one job, or one piece of work, stays in this process. The function and its
    arguments can be pickled. What it raises is raised here, and work that has not begun is dropped then.
    """
    if jobs < 1:
        raise QgaitError(f"{jobs} jobs can do no work.", "use at least 1")
    if jobs == 1 or len(work) < 2:
        for i, arguments in enumerate(work):
            yield i, function(*arguments)
        return
    context = get_context("spawn")  # not forked: a copy of a process with threads can hang
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(jobs, len(work)), context, _end_with, (theirs,))
    done = False
    try:
        with _deaf_to_ctrl_c():
            index = {pool.submit(function, *arguments): i for i, arguments in enumerate(work)}
        for future in as_completed(index):
            yield index.pop(future), future.result()  # not kept: results can be large
        done = True
    except BrokenProcessPool as error:
        raise QgaitError(
            "A worker process died, probably for lack of memory.", "repeat the command with fewer jobs; it resumes"
        ) from error
    finally:
        if not done:
            ours.close()  # nobody waits for what they are at
        pool.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()


def _end_with(pipe: Connection) -> None:
    """In a worker: ends it when the other end of ``pipe`` is closed, which also happens when its process is killed."""

    def watch() -> None:
        pipe.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that begin here get no Ctrl-C, which a terminal sends to all; this one gets it when the block ends."""
    was = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, was)
