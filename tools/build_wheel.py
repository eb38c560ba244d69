"""Wheel and source archive of what git tracks, the same bytes every time, and the bill of materials beside them.

usage: python tools/build_wheel.py [FOLDER]        (default: dist)

Times in the archives are SOURCE_DATE_EPOCH, or that of the last commit. Needs git and setuptools 77 or newer.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bill_of_materials import write

ROOT = Path(__file__).parents[1]
# setuptools changes sys.argv while it builds
BUILD = "import sys; from setuptools import build_meta as b; to = sys.argv[1]; b.build_sdist(to); b.build_wheel(to)"


def main(folder: Path) -> None:
    """Builds in a copy, so that nothing that lies around gets in."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct").strip())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="qgait-") as work:
        source, made = Path(work) / "source", Path(work) / "made"
        copy_tracked(source)
        made.mkdir()
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
        command = [sys.executable, "-c", BUILD, str(made)]
        subprocess.run(command, cwd=source, env=environment, umask=0o022, check=True, stdout=subprocess.DEVNULL)
        (wheel,), (archive,) = made.glob("*.whl"), made.glob("*.tar.gz")
        with_one_time(archive, epoch)
        described = write(ROOT, wheel, archive, epoch)
        for file in (wheel, archive, described):
            shutil.move(file, folder / file.name)
            print(folder / file.name)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def copy_tracked(to: Path) -> None:
    """With git's modes: those of the working tree depend on the umask."""
    for line in git("ls-files", "--stage", "-z").rstrip("\0").split("\0"):
        facts, name = line.split("\t")
        file = to / name
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        shutil.copyfile(ROOT / name, file)
        file.chmod(0o755 if facts.startswith("100755") else 0o644)


def with_one_time(archive: Path, epoch: int) -> None:
    """Packs a source archive again: setuptools puts in the time of packing, and who did it."""
    with tarfile.open(archive) as packed:
        members = sorted(packed.getmembers(), key=lambda member: member.name)
        contents = {member.name: packed.extractfile(member) for member in members}
        with (
            archive.with_suffix(".new").open("wb") as out,
            gzip.GzipFile("", "wb", fileobj=out, mtime=epoch) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as again,
        ):
            for member in members:
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.pax_headers = {}
                again.addfile(member, contents[member.name])
    archive.with_suffix(".new").replace(archive)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist"))
