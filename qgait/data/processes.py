"""The same work on many things, in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
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
    # spawned, not forked: a copy of a process with threads can hang
    pool = ProcessPoolExecutor(min(jobs, len(work)), get_context("spawn"))
    try:
        index = {pool.submit(function, *arguments): i for i, arguments in enumerate(work)}
        for future in as_completed(index):
            yield index.pop(future), future.result()  # not kept: results can be large
    except BrokenProcessPool as error:
        raise QgaitError(
            "A worker process died, probably for lack of memory.", "repeat the command with fewer jobs; it resumes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
