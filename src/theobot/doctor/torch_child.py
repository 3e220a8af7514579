"""torch, looked at from outside: starts probe.py, and keeps what it wrote before it ended."""

from __future__ import annotations

import json
import signal
import sys
from importlib import metadata
from typing import Any

from theobot.doctor.facts import Torch
from theobot.doctor.machine import Machine, Ran
from theobot.doctor.probe import STAGES
from theobot.model.before_torch import installed_torch

SECONDS = 90.0
"""For all stages: the first use of a GPU may load kernels for half a minute."""
_SECONDS_AGAIN = 20.0
_LOG_LINES = 8


def look_at_torch(machine: Machine) -> Torch | None:
    """Which torch is installed, and what it can do in a process of its own.

    Returns:
        None if there is none.
    """
    build = installed_torch()
    if build is None:
        return None
    ran = _probe(machine, SECONDS)
    found = read_stages(ran)
    known = {"version": metadata.version("torch"), "hip": build.hip, "cuda": build.cuda, **found}
    if known["hip"] and known.get("available") is False:
        known["log"] = _runtime_log(machine)
    return Torch.model_validate(known)


def _probe(machine: Machine, seconds: float, *stages: str, **variables: str) -> Ran:
    # Without -P a file of the person's that is called torch.py would be imported.
    words = [sys.executable, "-P", "-m", "theobot.doctor.probe", *stages]
    return machine.run_program(words, seconds, {**machine.environment, **variables})


def read_stages(ran: Ran) -> dict[str, Any]:
    """What the stages found together, and how the process ended if that was not well."""
    found: dict[str, Any] = {}
    waiting = list(STAGES)
    for line in ran.out.splitlines():
        if line.startswith('{"stage"'):
            stage = json.loads(line)
            waiting.remove(stage.pop("stage"))
            found.update(stage)
    at = f" at the stage {waiting[0]!r}" if waiting else ""
    if ran.code is None:
        found["ended"] = f"did not end in {SECONDS:.0f} s{at}"
    elif ran.code < 0:
        found["ended"] = f"crashed{at} ({_signal_name(-ran.code)})"
    elif ran.code and "error" not in found:
        last = ran.err.strip().rpartition("\n")[2]
        found["ended"] = f"exit code {ran.code}{at}: {last[:300]}"
    return found


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _runtime_log(machine: Machine) -> tuple[str, ...]:
    """What AMD's runtime says while it finds no GPU."""
    ran = _probe(machine, _SECONDS_AGAIN, "import", "devices", AMD_LOG_LEVEL="3")
    telling = ("error", "fail", "hsa_", "denied", "unable")
    lines = [line.strip() for line in ran.err.splitlines()]
    told = [line[:200] for line in lines if any(word in line.lower() for word in telling)]
    return tuple(told[-_LOG_LINES:])
