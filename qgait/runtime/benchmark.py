"""What a bundle costs: milliseconds, executed instructions and memory, after its self-test has passed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qgait.errors import ParityError, QgaitError
from qgait.runtime import qemu, ssh
from qgait.runtime.bundle import Bundle
from qgait.runtime.programs import invocation, reason, start
from qgait.runtime.selftest import first_difference, selftest


@dataclass(frozen=True)
class Measurement:
    """One row of ``qgait bench``. Times are milliseconds and None under QEMU, where they would mean nothing.

    ``peak_memory_bytes``: what the process of gait-run had at most; under QEMU the arena and the library.
    ``model_bytes``: code and weights.
    """

    target: str
    device: str
    frame_median: float | None
    frame_p95: float | None
    embedding_ms: float | None
    instructions_per_frame: int | None
    peak_memory_bytes: int
    model_bytes: int
    macs_per_frame: int

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        facts = asdict(self)
        median, p95 = facts.pop("frame_median"), facts.pop("frame_p95")
        first = {key: facts.pop(key) for key in ("target", "device")}
        return {**first, "frame_ms": {"median": median, "p95": p95}, **facts}


def bench(bundle: Bundle, device: str = "local", options: Sequence[str] = ()) -> Measurement:
    """Measures ``bundle`` on ``device``: "local", "qemu" or "ssh://user@host[:port]".

    ``options`` go to ``gait-run bench``. Raises ParityError when the self-test fails there: then nothing is measured.
    QgaitError when the device cannot run the bundle.
    """
    if device == "local":
        return _timed(bundle, device, _local(bundle, options))
    if device == "qemu":
        if options:
            raise QgaitError(
                f"`{options[0].removeprefix('--')}` is for times, and under QEMU instructions are counted, of as many "
                "frames as that takes.",
                "leave it out.",
            )
        return _emulated(bundle)
    if device.startswith("ssh://"):
        if bundle.target.bare_metal:
            raise QgaitError(
                f"A {bundle.target.name} has no operating system to log in to.",
                f"run {bundle.gait_run.name} bench in a debugger with semihosting, or use `device=qemu`.",
            )
        return _timed(bundle, device, parse(ssh.bench(bundle, device, options)))
    raise QgaitError(f"There is no device '{device}'.", "use local, qemu or ssh://user@host.")


def parse(printed: str) -> dict[str, Any]:
    """What ``gait-run bench --json`` printed; QgaitError when it is not that."""
    try:
        facts = json.loads(printed.strip().splitlines()[-1])
        frame = facts["frame_ms"]
        float(frame["median"]), float(frame["p95"]), float(facts["embedding_ms"]), int(facts["peak_memory_bytes"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise QgaitError(
            f"gait-run bench did not print its figures but {printed[:80]!r}.", "compile the bundle again."
        ) from None
    return dict(facts)


def _local(bundle: Bundle, options: Sequence[str]) -> dict[str, Any]:
    if start(bundle):
        raise QgaitError(
            f"The target {bundle.target.name} does not run on this machine.",
            "use `device=qemu` to count its instructions"
            + ("." if bundle.target.bare_metal else ", or `device=ssh://user@host` on a board."),
        )
    selftest(bundle)
    done = subprocess.run([str(bundle.gait_run), "bench", "--json", *options], capture_output=True, text=True)
    if done.returncode == 1:
        raise ParityError(f"The self-test of {bundle.path} failed: {first_difference(done.stdout)}")
    if done.returncode != 0:
        raise QgaitError(f"gait-run bench failed: {reason(done.returncode, done.stderr.encode())}", "see gait-run -h.")
    return parse(done.stdout)


def _timed(bundle: Bundle, device: str, facts: dict[str, Any]) -> Measurement:
    return Measurement(
        target=bundle.target_name,
        device=device,
        frame_median=facts["frame_ms"]["median"],
        frame_p95=facts["frame_ms"]["p95"],
        embedding_ms=facts["embedding_ms"],
        instructions_per_frame=None,
        peak_memory_bytes=facts["peak_memory_bytes"],
        model_bytes=bundle.library_bytes,
        macs_per_frame=bundle.manifest["macs"]["frame"],
    )


def _emulated(bundle: Bundle) -> Measurement:
    if not start(bundle):
        raise QgaitError(
            f"The target {bundle.target.name} runs on this machine itself, without QEMU.", "use `device=local`."
        )
    selftest(bundle)
    # start-up, libraries and printing are in both runs, and so are first frames for which some kernels do not run yet
    timing = bundle.manifest["timing"]
    first, more = timing["delay"] + 1, 2 * timing["stride"]
    short, long = (
        qemu.count_instructions(invocation(bundle, bundle.gait_run, "push", str(count)), bundle.path)
        for count in (first, first + more)
    )
    return Measurement(
        target=bundle.target.name,
        device="qemu",
        frame_median=None,
        frame_p95=None,
        embedding_ms=None,
        instructions_per_frame=(long - short) // more,
        peak_memory_bytes=bundle.manifest["memory"]["arena_bytes"] + bundle.library_bytes,
        model_bytes=bundle.library_bytes,
        macs_per_frame=bundle.manifest["macs"]["frame"],
    )
