"""How much memory this process can still take: of the machine, of its container (cgroups 1 and 2), of a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

KIB = 1024


def available_memory(device: str, root: Path = Path("/")) -> int | None:
    """Bytes for this process; None where the system does not tell. Processes of torchrun on one machine share them."""
    if torch.device(device).type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held  # each process has a GPU of its own
    found = [free for free in (_machine(root), *_containers(root)) if free is not None]
    return min(found) // max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1) if found else None


def _machine(root: Path) -> int | None:
    free = _table(root / "proc/meminfo").get("MemAvailable:")
    return None if free is None else free * KIB


def _containers(root: Path) -> Iterator[int | None]:
    """What each group that this process is in, from its own up to the machine, leaves of its limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, name = [*line.split(":", 2), "", ""][:3]
        if kinds == "":
            top, limit, used, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            top, limit, used = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = top / name.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                most, now = _number(folder / limit), _number(folder / used)
                if most is not None and now is not None:
                    yield max(0, most - now + _table(folder / "memory.stat").get(cache, 0))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None  # "max" is no limit


def _table(path: Path) -> dict[str, int]:
    rows = [line.split() for line in _text(path).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
