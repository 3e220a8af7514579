"""What a run was made with: versions, machine, device."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch

from theobot import __version__
from theobot.model.device import Compute, describe

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors")

OPTIONAL = ("bitsandbytes",)
"""Named where they are installed."""


def _installed(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if find_spec(name) is not None]


def environment(compute: Compute) -> dict[str, Any]:
    """Content of environment.json. Holds no name of a person or machine."""
    return {
        "theobot": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "device": describe(compute.device),
        "dtype": str(compute.dtype).removeprefix("torch."),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "rocm": torch.version.hip,
        "packages": {name: version(name) for name in (*PACKAGES, *_installed(OPTIONAL))},
    }
