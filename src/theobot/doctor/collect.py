"""All sources at once, each within its own time; one that fails is a fact that is not known."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from theobot.doctor.checks_amd import OVERRIDE, VISIBLE
from theobot.doctor.devices import look_at_devices
from theobot.doctor.facts import Facts
from theobot.doctor.failures import look_at_failure
from theobot.doctor.hub import look_at_hub
from theobot.doctor.machine import Machine
from theobot.doctor.masking import without_secrets
from theobot.doctor.packages import look_at_packages
from theobot.doctor.resources import (
    look_at_disks,
    look_at_kernel_log,
    look_at_memory,
    look_at_system,
)
from theobot.doctor.torch_child import SECONDS, look_at_torch
from theobot.model.before_torch import ALLOCATORS, EXPERIMENTAL_ATTENTION

Source = Callable[[Machine], Any]

SOURCES: dict[str, Source] = {
    "devices": look_at_devices,
    "torch": look_at_torch,
    "memory": look_at_memory,
    "disks": look_at_disks,
    "hub": look_at_hub,
    "packages": look_at_packages,
    "kernel_log": look_at_kernel_log,
    "failure": look_at_failure,
}
"""Section of `Facts` -> what fills it."""

_TORCH_LIMIT = SECONDS + 30.0

VARIABLES = (
    *VISIBLE,
    OVERRIDE,
    "HSA_ENABLE_DXG_DETECTION",
    *ALLOCATORS,
    EXPERIMENTAL_ATTENTION,
    "TORCH_BLAS_PREFER_HIPBLASLT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_ENDPOINT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "TRANSFORMERS_VERBOSITY",
)
"""Variables that are read; others are nobody's business."""


def collect(machine: Machine, limit: float = 8.0) -> Facts:
    """Everything that can be seen of a machine, with its paths as they are, but no secret.

    Args:
        machine: where to look.
        limit: seconds of a source (but torch, which has its own): a network disk that does not
            answer must not stop the others.
    """
    begun = time.monotonic()
    boxes = {name: _start(source, machine) for name, source in SOURCES.items()}
    found: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for name, box in boxes.items():
        most = _TORCH_LIMIT if name == "torch" else limit
        try:
            value = box.get(timeout=max(0.0, begun + most - time.monotonic()))
        except queue.Empty:
            unknown[name] = f"took more than {most:g} s"
            continue
        if isinstance(value, Exception):
            unknown[name] = f"{type(value).__name__}: {value}"
        else:
            found[name] = value
    facts = Facts(
        system=look_at_system(machine),
        model=machine.model,
        environment=_environment(machine),
        unknown=unknown,
        **found,
    )
    return without_secrets(facts)


def _start(source: Source, machine: Machine) -> queue.SimpleQueue[Any]:
    """Run a source in a thread that nobody waits for at the end."""
    box: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            box.put(source(machine))
        except Exception as error:
            box.put(error)

    threading.Thread(target=work, daemon=True).start()
    return box


def _environment(machine: Machine) -> dict[str, str]:
    for_one_gpu = [name for name in machine.environment if name.startswith(f"{OVERRIDE}_")]
    names = [*VARIABLES, *sorted(for_one_gpu)]
    return {name: machine.environment[name] for name in names if name in machine.environment}
