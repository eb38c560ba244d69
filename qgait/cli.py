"""The command line. Every command reads files, writes files and prints one table; errors are one sentence and the fix.

Exit codes: 0 fine, 1 a check failed, 2 wrong use or bad input, 130 interrupted.
"""

from __future__ import annotations

import errno
import sys

import click

from qgait.commands.bench import bench
from qgait.commands.calibrate import calibrate
from qgait.commands.compile import compile_
from qgait.commands.data import data
from qgait.commands.demo import demo
from qgait.commands.embed import embed
from qgait.commands.evaluate import eval_
from qgait.commands.export import export
from qgait.commands.report import report
from qgait.commands.settings import speaking_options
from qgait.commands.sign import keygen, sign
from qgait.commands.targets import targets
from qgait.commands.train import train
from qgait.commands.verify import verify
from qgait.errors import ParityError, QgaitError
from qgait.extras import install
from qgait.version import __version__

_OPERATING_SYSTEM = {
    errno.ENOSPC: "free some space or write somewhere else",
    errno.EDQUOT: "free some space or write somewhere else",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may write",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "give a folder, not a file",
    errno.ENOENT: "check the path",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="qgait")
def cli() -> None:
    """Gait recognition on low-power hardware: integer-only networks, proven equal on every runtime."""


for command in (
    demo,
    data,
    train,
    calibrate,
    eval_,
    export,
    verify,
    compile_,
    bench,
    embed,
    report,
    targets,
    keygen,
    sign,
):
    cli.add_command(speaking_options(command))


def _fail(problem: str, fix: str, code: int) -> int:
    print(f"qgait: {problem}", file=sys.stderr)
    if fix:
        print(f"Fix: {fix}", file=sys.stderr)
    return code


def run(arguments: list[str] | None = None) -> int:
    """Executes one command line and returns its exit code."""
    try:
        cli.main(arguments, prog_name="qgait", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted; nothing is left half-written.", "", 130)
    except QgaitError as error:
        return _fail(error.problem, error.fix, 2)
    except ParityError as error:
        return _fail(str(error), "", 1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "qgait":
            raise
        return _fail(f"The package {error.name} is not installed.", f"{install(error.name)}.", 2)
    except MemoryError:
        return _fail("There is not enough memory.", "use fewer frames or sequences at once.", 2)
    except OSError as error:
        if error.errno not in _OPERATING_SYSTEM:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror}{where}.", f"{_OPERATING_SYSTEM[error.errno]}.", 2)
    return 0


def main() -> None:
    """The console script."""
    sys.exit(run())
