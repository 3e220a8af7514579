"""The system, its memory, its disks, and what its kernel logged."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from pathlib import Path

from theobot.doctor.facts import Disk, KernelLog, Memory, System, Wsl
from theobot.doctor.hub import cache_folder
from theobot.doctor.machine import Machine
from theobot.model.fetch import existing
from theobot.model.ram import read_ram

_SECONDS = 2.0
_KEPT_LINES = 12
_TROUBLE = re.compile(
    r"amdgpu.*(ring \S+ timeout|page fault|gpu reset|reset begin|GPU fault|VRAM is lost)"
    r"|\[gfxhub\d*\].*page fault|NVRM: Xid|nvidia.*fallen off the bus"
    r"|(out of memory|oom-kill).*kill",
    re.IGNORECASE,
)
_LOG_PROGRAMS = (
    ("journalctl", "--dmesg", "--boot", "--no-pager", "--output=cat", "--lines=2000"),
    ("dmesg",),
)


def look_at_system(machine: Machine) -> System:
    """Kernel, distribution, Python, and what Linux runs in."""
    lines = (machine.text("/etc/os-release") or "").splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    marks = ("/.dockerenv", "/run/.containerenv")
    return System(
        name=machine.system,
        release=machine.release,
        machine=platform.machine(),
        python=platform.python_version(),
        distribution=release.get("PRETTY_NAME", "").strip('"') or None,
        container=any(machine.path(mark).exists() for mark in marks)
        or "kubepods" in (machine.text("/proc/1/cgroup") or ""),
        wsl=_wsl(machine) if "microsoft" in machine.release.lower() else None,
    )


def _wsl(machine: Machine) -> Wsl:
    libraries = machine.path("/usr/lib")
    return Wsl(
        dxg=machine.path("/dev/dxg").exists(),
        bridge=any(machine.path("/opt").glob("rocm*/lib/librocdxg.so*"))
        or any(libraries.glob("**/librocdxg.so*")),
        old_runtime=any(libraries.glob("*-linux-gnu/libhsa-runtime64.so.1")),
    )


def look_at_memory(machine: Machine) -> Memory:
    """Memory of the machine, or of the container if that is less."""
    ram = read_ram(machine.root)
    shm = machine.path("/dev/shm")
    return Memory(
        **ram._asdict(),
        shared=shutil.disk_usage(shm).total if shm.is_dir() else None,
    )


def look_at_disks(machine: Machine) -> tuple[Disk, ...]:
    """Room for models, runs and temporary files."""
    places = {
        "models": cache_folder(machine.environment, machine.home),
        "runs": machine.output.absolute(),
        "temporary files": Path(machine.environment.get("TMPDIR") or tempfile.gettempdir()),
    }
    return tuple(
        Disk(use=use, path=str(path), free=shutil.disk_usage(existing(path)).free)
        for use, path in places.items()
    )


def look_at_kernel_log(machine: Machine) -> KernelLog | None:
    """Lines about GPUs in trouble and killed processes since the machine was started.

    Returns:
        None where there is no such log.

    Raises:
        PermissionError: there is, but not for this account.
    """
    if machine.system != "Linux":
        return None
    for words in _LOG_PROGRAMS:
        if not machine.find_program(words[0]):
            continue
        ran = machine.run_program(words, _SECONDS, machine.environment)
        if ran.code == 0 and ran.out.strip():
            found = [line.strip()[:300] for line in ran.out.splitlines() if _TROUBLE.search(line)]
            return KernelLog(lines=tuple(found[-_KEPT_LINES:]))
    raise PermissionError("not readable by this account")
