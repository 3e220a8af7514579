"""Environment variables that torch reads once, while it is imported or first uses a GPU.

Therefore nothing here imports torch. What a person has set is left alone.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import runpy
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

EXPERIMENTAL_ATTENTION = "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL"
_ALLOCATOR = "PYTORCH_ALLOC_CONF"
ALLOCATORS = (_ALLOCATOR, "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
"""Names of the allocator's settings, all of which torch reads (c10/cuda/CUDAAllocatorConfig.h)."""
_TURNS = "GOMP_SPINCOUNT"
_ALIKE = {_ALLOCATOR: ALLOCATORS, _TURNS: (_TURNS, "OMP_WAIT_POLICY")}
"""Names under which a person may have set the same."""


class TorchBuild(NamedTuple):
    """What the installed torch says of itself.

    Attributes:
        version: major and minor number.
        cuda: version of CUDA that it was built with, or None.
        hip: version of ROCm's HIP that it was built with, or None.
    """

    version: tuple[int, int]
    cuda: str | None
    hip: str | None


class Addition(NamedTuple):
    """An environment variable to set, and why."""

    name: str
    value: str
    reason: str


def installed_torch() -> TorchBuild | None:
    """Read torch's `version.py` without importing torch; None if there is nothing to read."""
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if file is None or not file.is_file():
        return None
    facts = runpy.run_path(str(file))
    number = re.match(r"(\d+)\.(\d+)", facts["__version__"])
    if number is None:
        return None
    version = int(number[1]), int(number[2])
    return TorchBuild(version, facts.get("cuda"), facts.get("hip"))


def additions(
    build: TorchBuild, environment: Mapping[str, str], system: str, release: str
) -> list[Addition]:
    """What helps this build of torch here and is not set already.

    Args:
        build: the installed torch.
        environment: variables as they are.
        system: `platform.system()`.
        release: `platform.release()`; WSL's kernels name Microsoft there.
    """
    found = []
    # Threads of GNU's OpenMP, which torch brings on Linux, wait for each other at full speed.
    # Beside another busy program that takes the processor from the one that is waited for, and
    # small products last many times as long. After so many turns they sleep.
    if system == "Linux":
        reason = "threads that wait leave the processor to those that work, and to other programs"
        found.append(Addition(_TURNS, "2000", reason))
    # torch 2.9 carries kernels that compute wrongly on a Radeon RX 7900 (ROCm/aotriton#123). What
    # the variable allows elsewhere is tried against plain attention before it is used.
    if build.hip and build.version != (2, 9):
        reason = "fused attention on Radeon cards that torch counts as experimental"
        found.append(Addition(EXPERIMENTAL_ATTENTION, "1", reason))
    # Under ROCm it can hang for ever (pytorch#192259), WSL refuses it (pytorch#192330), and
    # Windows does not have it.
    wsl = "microsoft" in release.lower()
    if build.cuda and not build.hip and system == "Linux" and not wsl:
        reason = "passes of different lengths leave no gaps in GPU memory"
        found.append(Addition(_ALLOCATOR, "expandable_segments:True", reason))
    return [one for one in found if not _is_set(one.name, environment)]


def _is_set(name: str, environment: Mapping[str, str]) -> bool:
    return any(other in environment for other in _ALIKE.get(name, (name,)))


def prepare(environment: MutableMapping[str, str] = os.environ) -> list[Addition]:
    """Set what helps, once, before torch is imported; afterwards it does nothing.

    Returns:
        What was set.
    """
    build = None if "torch" in sys.modules else installed_torch()
    if build is None:
        return []
    found = additions(build, environment, platform.system(), platform.release())
    environment.update({one.name: one.value for one in found})
    return found
