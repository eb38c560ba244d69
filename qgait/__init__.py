"""qgait: gait recognition on low-power hardware.

From a checkpoint to a board: ``load``, ``calibrate``, ``fold``, ``write_onnx``, ``verify``, ``compile``,
``open_bundle``; ``align`` and ``distance`` for silhouettes and embeddings of one's own. docs/python.md shows them.
Importing this, and running a bundle, needs numpy and msgspec: everything is imported when it is first used.
"""

from qgait.version import __version__

TYPE_CHECKING = False  # what type checkers take for True; importing typing takes time in which Ctrl-C is a traceback

__all__ = [
    "ParityError",
    "QgaitError",
    "__version__",
    "align",
    "calibrate",
    "compile",
    "distance",
    "fold",
    "load",
    "open_bundle",
    "read_onnx",
    "verify",
    "write_onnx",
]

if TYPE_CHECKING:
    from qgait.errors import ParityError, QgaitError
    from qgait.front_door import (
        align,
        calibrate,
        compile,
        distance,
        fold,
        load,
        open_bundle,
        read_onnx,
        verify,
        write_onnx,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'qgait' has no attribute {name!r}")
        from qgait import errors, front_door

        return getattr(errors if name.endswith("Error") else front_door, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
