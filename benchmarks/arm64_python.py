"""An arm64 Python on an x86-64 Debian: a folder of Debian's arm64 packages and wheels, run by qemu-user.

Made once and kept in the cache folder ($XDG_CACHE_HOME or ~/.cache, qgait/arm64-python), about 400 MB. It is not
installed and no program of it runs while it is made: packages are only unpacked.

ONNX Runtime and LiteRT ask the kernel's files what processor they run on, and those describe the x86 host: on that
answer they crash. The launchers give them the files of a board with one core, in a mount namespace of their own.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from qgait.errors import QgaitError

SUITE, PYTHON = "bookworm", "3.11"
DEBIAN = ("python3-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6")
WHEELS = ("numpy", "onnxruntime", "ai-edge-litert")  # in the versions that are installed here
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
TOOLS = ("debootstrap", "dpkg", "unshare", "setarch", "qemu-aarch64")
# what the kernel of a board with this processor says: part number, and with or without dot products
PROCESSORS = {"neoverse-n1": ("0xd0c", " atomics asimdrdm asimddp"), "cortex-a72": ("0xd08", "")}

LAUNCHER = """#!/bin/sh
# qemu-aarch64 -cpu {cpu} with {root} as its root, and the processor files of a board with one core
exec unshare -m sh -eu -c '
    mount -t tmpfs tmpfs /sys/devices/system/cpu
    for file in possible present online kernel_max; do echo 0 > /sys/devices/system/cpu/$file; done
    mount --bind "{cpuinfo}" /proc/cpuinfo
    exec env -i PATH="$PATH" setarch -R qemu-aarch64 -cpu {cpu} -L "{root}" \\
        -E PYTHONHOME="{root}/usr" -E PYTHONPATH="{root}/opt/python" -E PYTHONHASHSEED=0 -E PYTHONDONTWRITEBYTECODE=1 \\
        -E OMP_NUM_THREADS=1 -E OPENBLAS_NUM_THREADS=1 "$@"
' sh "$@"
"""


def python_command(cpu: str) -> tuple[list[str], str]:
    """(emulator for ``cpu``, path of the arm64 Python): together the start of a command line.

    Makes the folder on first use. QgaitError when this machine is not a Debian on x86-64 or the user is not root.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "qgait" / "arm64-python"
    check_machine()
    wanted = f"{SUITE} {' '.join(DEBIAN)}\n" + "".join(f"{name}=={version(name)}\n" for name in WHEELS)
    stamp = folder / "contents.txt"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"making the arm64 Python in {folder}, once", file=sys.stderr)
        make(folder, wanted)
    return [str(folder / f"qemu-{cpu}")], str(folder / "root" / "usr" / "bin" / f"python{PYTHON}")


def check_machine() -> None:
    """QgaitError unless the folder can be made and used here."""
    if find_spec("ai_edge_litert") is None:
        raise QgaitError("LiteRT is not installed.", "pip install 'qgait[all,bench]', or --without-peers.")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists() or platform.machine() != "x86_64" or missing:
        lacking = f" (not found: {', '.join(missing)})" if missing else ""
        raise QgaitError(
            f"Counting the peers' ARM instructions needs root on an x86-64 Debian{lacking}.",
            "apt install debootstrap qemu-user and run it as root, or measure qgait alone with --without-peers.",
        )


def make(folder: Path, contents: str) -> None:
    """Fills a temporary folder beside ``folder`` and moves it there; an older one is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="arm64-python-") as work:
        new = Path(work) / "new"
        root, wheels = new / "root", Path(work) / "wheels"
        new.mkdir()
        _run(
            "debootstrap",
            "--arch=arm64",
            "--foreign",
            "--variant=minbase",
            f"--include={','.join(DEBIAN)}",
            SUITE,
            root,
        )
        archives = root / "var" / "cache" / "apt" / "archives"
        for package in sorted(archives.glob("*.deb")):
            _run("dpkg", "-x", package, root)
        shutil.rmtree(archives)
        options = [f"--platform={name}" for name in PLATFORMS]
        versions = [f"{name}=={version(name)}" for name in WHEELS]
        _run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
            *(f"--python-version={PYTHON}", *options, "--dest", wheels, *versions),
        )
        for wheel in wheels.iterdir():
            zipfile.ZipFile(wheel).extractall(root / "opt" / "python")
        for cpu, (part, features) in PROCESSORS.items():
            cpuinfo, launcher = new / f"cpuinfo-{cpu}", new / f"qemu-{cpu}"
            cpuinfo.write_text(
                f"processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32{features}\n"
                f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: {part}\n"
                "CPU revision\t: 1\n"
            )
            launcher.write_text(LAUNCHER.format(cpu=cpu, root=folder / "root", cpuinfo=folder / cpuinfo.name))
            launcher.chmod(0o755)
        (new / "contents.txt").write_text(contents)
        if folder.exists():
            folder.replace(Path(work) / "old")
        new.replace(folder)


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise QgaitError(f"{command[0]} failed: {said}", "check the network and run the benchmark again.")
