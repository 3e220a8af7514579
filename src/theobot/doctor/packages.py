"""Installed packages: what Theobot asks for, and what does not go into the same environment."""

from __future__ import annotations

from importlib import metadata

from theobot.doctor.facts import Packages
from theobot.doctor.machine import Machine

APART = ("vllm", "sglang", "open-webui")
"""Servers that pin other versions of torch and transformers."""
_OPTIONAL = ("bitsandbytes", "triton", "pytorch-triton-rocm")


def look_at_packages(machine: Machine) -> Packages:
    """Versions of what Theobot asks for, and of others that matter."""
    from packaging.requirements import Requirement

    asked = [Requirement(text) for text in metadata.requires("theobot") or []]
    required = [one for one in asked if one.marker is None or one.marker.evaluate()]
    names = [*(one.name for one in required), *_OPTIONAL, *APART]
    versions = {name: _version(name) for name in sorted(names)}
    return Packages(
        versions={name: version for name, version in versions.items() if version is not None},
        required=tuple(f"{one.name}{one.specifier}" for one in required),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
