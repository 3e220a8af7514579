"""How a run ended that did not finish: from its state.json and metrics.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from theobot.doctor.facts import Failure
from theobot.doctor.machine import Machine, newest_run
from theobot.run_folder import RunFolder

_STATES = ("failed", "interrupted")


def look_at_failure(machine: Machine) -> Failure | None:
    """The failure of the run that the person named, else of the newest run.

    Returns:
        None if there is no such run, or if it finished; a run that is called "running" is told of
        only when the person named it.

    Raises:
        RunError: its state.json is damaged.
    """
    asked = machine.run is not None
    run = machine.run or newest_run(machine.output)
    state: dict[str, Any] = run.read_state() if run else {}
    status = str(state.get("status", "never begun"))
    if run is None or status == "finished" or not (asked or status == "failed"):
        return None
    failure = state.get("failure") or {}
    return Failure(
        run=str(run.path),
        status=status,
        text=failure.get("text") or state.get("reason", "") if status in _STATES else "",
        step=failure.get("step") or last_step(run),
        total_steps=state.get("total_steps"),
        when=failure.get("time"),
        asked=asked,
    )


def last_step(run: RunFolder) -> int | None:
    """The last step in metrics.jsonl; None if there is none."""
    found = None
    for line in _lines(run.metrics):
        try:
            found = json.loads(line).get("step", found)
        except (ValueError, AttributeError, RecursionError):
            continue  # a last line that was cut off
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
