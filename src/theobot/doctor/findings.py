"""All checks in the order in which they are told, and what they find in facts or in an error."""

from __future__ import annotations

import re
from itertools import groupby, islice

from theobot.doctor.checks_amd import (
    CARD_CHECKS,
)
from theobot.doctor.checks_hub import CACHE, OFFLINE, TOKEN, UNREACHABLE
from theobot.doctor.checks_room import DISK, GPU_MEMORY, OUT_OF_MEMORY, RAM
from theobot.doctor.checks_system import (
    APPLE,
    CPU_ONLY,
    GENERATION_WARNINGS,
    GPU_RESET,
    KERNEL,
    PACKAGES,
    TOOLS,
    WINDOWS,
    WSL,
)
from theobot.doctor.checks_torch import (
    ALLOCATOR,
    ATTENTION,
    BAD_TORCH,
    BF16,
    FORKED,
    GPU_NOT_USABLE,
    NO_KERNELS,
)
from theobot.doctor.facts import Facts, Failure
from theobot.doctor.finding import Check, Finding, Seen, Severity, error, info, warning
from theobot.doctor.hub import PUBLIC_MODEL

CHECKS = (
    *CARD_CHECKS,
    GPU_NOT_USABLE,
    NO_KERNELS,
    BAD_TORCH,
    BF16,
    ATTENTION,
    GPU_MEMORY,
    ALLOCATOR,
    KERNEL,
    TOOLS,
    CACHE,
    DISK,
    RAM,
    OFFLINE,
    TOKEN,
    UNREACHABLE,
    PACKAGES,
    OUT_OF_MEMORY,
    GPU_RESET,
    FORKED,
    WSL,
    APPLE,
    WINDOWS,
    CPU_ONLY,
    GENERATION_WARNINGS,
)

_SEVERITIES = list(Severity)
_ABOUT = re.compile(r'(?:model ")?(\w[\w.-]*/[\w.-]+)"?: ')
"""How an error begins that is about a model of the Hub."""


def diagnose(facts: Facts) -> list[Finding]:
    """What is wrong, the gravest first, each with its fix. Depends on the facts alone."""
    found = [
        Finding.of(check, seen)
        for check in ALL_CHECKS
        for seen in (check.find(facts), _in_failure(check, facts.failure))
        if seen
    ]
    return sorted(found, key=lambda one: _SEVERITIES.index(one.severity))


def _in_failure(check: Check, failure: Failure | None) -> Seen | None:
    """What the text of a run's failure tells; of a run that nobody asked about, a warning."""
    if failure is None or failure.status != "failed" or not check.explains(failure.text):
        return None
    return (error if failure.asked else warning)(_story(failure))


def _story(failure: Failure) -> str:
    """How a run ended, in a sentence."""
    at = f" after step {failure.step} of {failure.total_steps}" if failure.step else ""
    when = f" ({failure.when})" if failure.when else ""
    if failure.status == "interrupted":
        return f"The run {failure.run} was interrupted{at}{when}."
    return f"The run {failure.run} failed{at}{when}: {failure.text}"


def _run_ended(facts: Facts) -> Seen | None:
    failure = facts.failure
    if failure is None:
        return None
    if failure.status == "failed":
        if any(check.explains(failure.text) for check in CHECKS):
            return None
        return (error if failure.asked else warning)(_story(failure), *_resume(failure))
    if failure.status == "interrupted":
        return info(_story(failure), *_resume(failure))
    if failure.status == "running":
        return warning(
            f"The run {failure.run} is called running. If it is not, it was killed from outside: "
            "memory used up, power lost, or the card was reset.",
            *_resume(failure),
        )
    return warning(f"The run {failure.run} never began to train: nothing is written down of it.")


def _resume(failure: Failure) -> tuple[str, ...]:
    if not failure.resumable:
        return ("Nothing was trained yet: mend the reason, then type the same command again.",)
    return (
        "Go on from the last checkpoint:",
        f"$ theobot train --output {failure.run} --resume",
    )


RUN_ENDED = Check(
    id="run-ended",
    title="A run did not finish",
    platform="all",
    sign="`theobot runs` calls it failed, interrupted or running, and nothing runs.",
    why="A run writes down why it ended, and keeps its last complete checkpoints. If the reason is "
    "none of the others here, it is a fault of the data or of Theobot: its text says which.",
    fix=(
        "See the reason, then go on from the last checkpoint:",
        "$ theobot doctor --run runs/NAME",
        "$ theobot train --output runs/NAME --resume",
    ),
    find=_run_ended,
)


def _first_steps(check: Check) -> str:
    """What to do and what to type for it, or the other way round, in one line."""
    told = []
    for typed, group in islice(groupby(check.fix, key=lambda step: step.startswith("$ ")), 2):
        told.append(" ".join(f"`{step[2:]}`" if typed else step for step in group))
    return " ".join(part if part.endswith((".", ":", "by")) else f"{part}." for part in told)


ALL_CHECKS = (*CHECKS, RUN_ENDED)


def explain(text: str) -> list[str]:
    """What the first matching check says about an error, in two lines; nothing if none matches.

    Looks at the text alone: cheap enough for a process that has just failed.
    """
    about = _ABOUT.match(text)
    for check in CHECKS:
        if check.explains(text):
            steps = _first_steps(check)
            if about:
                steps = steps.replace(PUBLIC_MODEL, about[1])
            return [
                f"theobot doctor says: {check.title}. {steps}",
                f"`theobot doctor` looks at this machine; docs/troubleshooting.md: {check.id}.",
            ]
    return []
