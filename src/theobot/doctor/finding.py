"""A check and what it finds: what was seen, why it matters, and the exact fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from theobot.doctor.facts import Facts


class Severity(StrEnum):
    """An error stops work or spoils it; a warning may; the rest is good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Seen(NamedTuple):
    """What a check saw on one machine.

    Attributes:
        severity: how grave it is here.
        text: what was seen, in a sentence or two.
        fix: steps for this machine; empty if those of the check hold as they are.
    """

    severity: Severity
    text: str
    fix: tuple[str, ...] = ()


class Check(NamedTuple):
    """One thing that can be wrong. Its words are also those of docs/troubleshooting.md.

    Attributes:
        id: its name in the documentation and in JSON.
        title: what is wrong, in a few words.
        platform: where it can be: "AMD", "NVIDIA", "AMD and NVIDIA", "Apple", "Windows" or "all".
        sign: what a person meets.
        why: why it matters.
        fix: steps; a line that begins with "$ " is to be typed.
        find: sees it in facts, and changes nothing.
        patterns: regular expressions of error texts that tell it, whatever the case.
    """

    id: str
    title: str
    platform: str
    sign: str
    why: str
    fix: tuple[str, ...]
    find: Callable[[Facts], Seen | None]
    patterns: tuple[str, ...] = ()

    def explains(self, text: str) -> bool:
        """Whether an error text tells of this."""
        return any(re.search(pattern, text, re.IGNORECASE) for pattern in self.patterns)


class Finding(NamedTuple):
    """What is wrong on one machine; see `Check` and `Seen`."""

    id: str
    severity: Severity
    title: str
    platform: str
    seen: str
    why: str
    fix: tuple[str, ...]

    @classmethod
    def of(cls, check: Check, seen: Seen) -> Finding:
        """Put together what holds everywhere and what was seen here."""
        fix = seen.fix or check.fix
        return cls(check.id, seen.severity, check.title, check.platform, seen.text, check.why, fix)


def error(text: str, *fix: str) -> Seen:
    """Something that stops work or spoils it."""
    return Seen(Severity.ERROR, text, fix)


def warning(text: str, *fix: str) -> Seen:
    """Something that may stop work."""
    return Seen(Severity.WARNING, text, fix)


def info(text: str, *fix: str) -> Seen:
    """Something good to know."""
    return Seen(Severity.INFO, text, fix)


def never(facts: Facts) -> Seen | None:
    """For checks that only an error text can tell."""
    return None
