"""What a check of data says: one finding a fault, with its place and how grave it is."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """An error must be mended before training; a warning is for a person to judge."""

    ERROR = "error"
    WARNING = "warning"


class Finding(NamedTuple):
    """One fault.

    Args:
        where: file and line, such as "rows.jsonl:12".
        severity: how grave it is.
        kind: what it is about: "format", "empty", "too_long", "ending", "length", "repeated",
            "near_duplicate", "leak", "citation", "quotation", "not_scripture", "one_view",
            "first_person", "absolute", "spelling" or "metadata".
        message: one sentence: what was found, what was expected.
    """

    where: str
    severity: Severity
    kind: str
    message: str


def error(where: str, kind: str, message: str) -> Finding:
    """A finding that must be mended."""
    return Finding(where, Severity.ERROR, kind, message)


def warning(where: str, kind: str, message: str) -> Finding:
    """A finding to judge."""
    return Finding(where, Severity.WARNING, kind, message)
