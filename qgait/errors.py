"""What a user sees when something is wrong: one sentence and the fix, never a traceback."""

from __future__ import annotations


class QgaitError(Exception):
    """Wrong use or bad input. The command line prints it and exits with code 2.

    ``problem`` is one sentence that names the file, option or tensor; ``fix`` says what to do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem} Fix: {fix}")
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[type[QgaitError], tuple[str, str]]:
        return type(self), (self.problem, self.fix)  # so that it survives the way back from a worker process


def os_reason(error: OSError) -> str:
    """What the operating system says, as a clause of a sentence."""
    return (error.strerror or str(error)).lower()


class ParityError(Exception):
    """A check failed: levels or runtimes of one model differ, or a signature. The command line exits with 1."""
