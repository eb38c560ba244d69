"""TOSA's reference model, in a process of its own: it ends with an abort on files that it does not like."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.tosa import tools as tosa_tools
from qgait.files import require_work_space

Codes = NDArray[np.int8]
LEVEL = "EIGHTK"  # of the specification: which sizes every implementation must take
LOG = "reference_model.log"


def execute(tosa: bytes, inputs: Mapping[str, Codes], outputs: Sequence[str], within: float = 60) -> dict[str, Codes]:
    """The tensors ``outputs``, all of the file's in its order, from its ``inputs``; both by name.

    Raises QgaitError when tosa-tools is missing, or when the model finds a fault in the file, crashes, or has not
    answered ``within`` seconds; its folder is kept then, with the file, the inputs and a log.
    """
    tosa_tools.require()
    require_work_space()
    folder = Path(tempfile.mkdtemp(prefix="qgait-tosa-"))
    (folder / "graph.tosa").write_bytes(tosa)
    for i, codes in enumerate(inputs.values()):
        np.save(folder / f"input{i}.npy", codes)
    description = {
        "tosa_file": "graph.tosa",
        "ifm_name": list(inputs),
        "ifm_file": [f"input{i}.npy" for i in range(len(inputs))],
        "ofm_name": list(outputs),
        "ofm_file": [f"output{i}.npy" for i in range(len(outputs))],
        "expected_failure": False,
    }
    (folder / "description.json").write_text(json.dumps(description))
    failure = _run(folder, within)
    if failure is not None:
        raise QgaitError(f"TOSA's reference model {failure}.", f"see {folder / LOG}; the graph is beside it.")
    found = {name: np.load(folder / f"output{i}.npy") for i, name in enumerate(outputs)}
    shutil.rmtree(folder)
    return found


def _run(folder: Path, within: float) -> str | None:
    """None, or what went wrong."""
    program = metadata.distribution("tosa-tools").locate_file("bin/tosa_reference_model")
    command = [str(program), "--test_desc=description.json", f"--tosa_level={LEVEL}"]
    with (folder / LOG).open("wb") as log:
        # when it crashes the model looks for a debugger: it finds none, and has a session of its own to end in
        environment = os.environ | {"PATH": ""}
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = process.wait(within)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                return f"gave no answer within {within:g} seconds"
            raise
    if code < 0:
        return f"was stopped by signal {-code}"
    if code > 0:
        return f"refused the graph: {_reason(folder / LOG)}"
    return None


def _reason(log: Path) -> str:
    """The line behind the check that failed, without the full stop."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    for check, reason in itertools.pairwise(lines):
        if " fails AT " in check:
            return reason.rstrip(".")
    return "it gave no reason"
