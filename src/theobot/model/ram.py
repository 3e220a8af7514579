"""How much main memory there is: the machine's, or that of the container or job if it is less.

Linux limits a container, a batch job or a service by its control group, and kills what takes more.
Of the machine's free memory alone such a process learns nothing of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_NO_LIMIT = 2**60
"""Version 1 of control groups writes "no limit" as a number larger than any memory."""


class Ram(NamedTuple):
    """Main memory in bytes.

    Attributes:
        total: of the machine.
        available: what a process can take now without swapping.
        limit: of the control group that leaves the least; None without one.
    """

    total: int
    available: int
    limit: int | None


class _Hierarchy(NamedTuple):
    """Where a version of control groups lies, and its names for the same things."""

    mount: str
    limit: str
    used: str
    reclaimable: str


_HIERARCHIES = {
    "": _Hierarchy("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": _Hierarchy(
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}
"""The controllers' name in /proc/self/cgroup -> version 2, version 1 (kernel's cgroup manuals)."""


def available_ram() -> int:
    """Bytes of main memory that this process can take now."""
    return read_ram().available


def read_ram(root: Path = Path("/")) -> Ram:
    """Main memory, and the limit of the control groups that this process is in.

    Args:
        root: folder below which /proc and /sys lie.
    """
    total, available = _of_machine(root)
    groups = [found for folder, names in _groups(root) if (found := _left(folder, names))]
    limit, left = min(groups, key=lambda found: found[1], default=(None, available))
    return Ram(total, min(available, left), limit)


def _of_machine(root: Path) -> tuple[int, int]:
    text = _text(root / "proc/meminfo")
    if not text:
        import psutil

        now = psutil.virtual_memory()
        return now.total, now.available
    kibibytes = dict(re.findall(r"(?m)^(\w+):\s+(\d+) kB", text))
    return 1024 * int(kibibytes["MemTotal"]), 1024 * int(kibibytes["MemAvailable"])


def _groups(root: Path) -> Iterator[tuple[Path, _Hierarchy]]:
    """Folders of this process's groups and of all above them, as far as they can be seen.

    In a container the path is often the host's, and only the mount itself is there.
    """
    own = dict.fromkeys(_HIERARCHIES, "/")
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in set(controllers.split(",")) & set(_HIERARCHIES):
            own[name] = path
    for name, path in own.items():
        names = _HIERARCHIES[name]
        for part in (inside := PurePosixPath(path.lstrip("/")), *inside.parents):
            yield root / names.mount / part, names


def _left(folder: Path, names: _Hierarchy) -> tuple[int, int] | None:
    """A group's limit and what is left of it; None without a limit."""
    limit = _text(folder / names.limit)
    if not limit.isdigit() or int(limit) >= _NO_LIMIT:
        return None
    # Files that were read, such as weights, count as used until something else needs the room.
    found = re.search(rf"(?m)^{names.reclaimable} (\d+)$", _text(folder / "memory.stat"))
    used = int(_text(folder / names.used) or 0) - (int(found[1]) if found else 0)
    return int(limit), max(0, int(limit) - max(0, used))


def _text(path: Path) -> str:
    """A file's text without the space around it; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
