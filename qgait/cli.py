"""The command line. Every command reads files, writes files and prints one table; errors are one sentence and the fix.

Exit codes: 0 fine, 1 a check failed, 2 wrong use or bad input, 130 interrupted (143 by SIGTERM), 141 when nobody reads
standard output any more.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable

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
from qgait.standard_streams import BROKEN_PIPE, OutputLostError, printable
from qgait.version import __version__

LONGEST_WORD = 300  # characters: what is longer is no path that somebody typed
_OPERATING_SYSTEM = {
    errno.ENOSPC: "free some space or write somewhere else",
    errno.EDQUOT: "free some space or write somewhere else",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may write",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "give a folder, not a file",
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
    print(f"qgait: {_short(problem)}", file=sys.stderr)
    if fix:
        print(f"Fix: {_short(fix)}", file=sys.stderr)
    return code


def _short(text: str) -> str:
    """`printable`, and words of more than a path's length cut."""
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:100]}...{word[0][-20:]}", printable(text))


def run(arguments: list[str] | None = None, prepare: Callable[[], None] = lambda: None) -> int:
    """Executes one command line and returns its exit code; ``prepare`` is called first."""
    try:
        prepare()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # names that are not UTF-8, characters that a terminal has not
                stream.reconfigure(errors="backslashreplace")
        cli.main(arguments, prog_name="qgait", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.UsageError as error:
        where = "qgait" if error.ctx is None else error.ctx.command_path
        return _fail(error.format_message(), f"see `{where} --help`.", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), "", 2)
    except OutputLostError:
        return BROKEN_PIPE
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
    except UnicodeEncodeError as error:  # a name of the file system that a library wants in UTF-8
        near = error.object[max(0, error.start - 40) : error.end + 20]
        return _fail(f"A name is not UTF-8, and has to be: {near!a}.", "rename it.", 2)
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
        fix = _OPERATING_SYSTEM.get(error.errno or 0, "check the path")
        return _fail(f"{error.strerror or error}{where}.", f"{fix}.", 2)
    return 0
