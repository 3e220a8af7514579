"""What can go wrong through no fault of the code: one sentence each, shown without a traceback.

    TheobotError            exit code 2; base of everything a person can mend
    ├── SettingsError       a flag or a TOML file says something impossible
    ├── DataError           rows of a data or question file are wrong
    ├── ModelError          the base model cannot be loaded or used
    │   └── PromptError     its chat template refuses a conversation
    ├── AdapterError        the adapter folder cannot be used
    ├── ServerError         another server refuses, or cannot be reached
    ├── RunError            the run folder is missing, taken, or cannot be written
    └── InvalidRunError     a benchmark whose result would mean nothing (exit code 5)

Anything else that escapes is a bug and keeps its traceback (exit code 70).
"""

from __future__ import annotations

from collections.abc import Sequence

PROBLEMS = 1
"""Exit code: the thing that was checked has errors."""
BUG = 70
"""Exit code: a fault of the program, with its traceback."""
INTERRUPTED = 130
"""Exit code: stopped by Ctrl-C or a signal."""


class TheobotError(Exception):
    """A person's mistake or a machine's limit, told in full sentences.

    Args:
        problems: one sentence, or all of them when several were found at once. Each says where,
            what was found, what was expected and what to type next.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class SettingsError(TheobotError):
    """A flag or a TOML file says something impossible."""


class DataError(TheobotError):
    """Rows of a data or question file are wrong."""


class ModelError(TheobotError):
    """The base model cannot be loaded or used."""


class PromptError(ModelError):
    """The base model's chat template refuses a conversation."""


class AdapterError(TheobotError):
    """The adapter folder cannot be used."""


class ServerError(TheobotError):
    """Another server refuses, or cannot be reached.

    Args:
        problems: see `TheobotError`.
        status: its HTTP status; None when there was no answer.
    """

    def __init__(self, problems: str | Sequence[str], status: int | None = None) -> None:
        super().__init__(problems)
        self.status = status


class RunError(TheobotError):
    """The run folder is missing, taken, or cannot be written."""


class InvalidRunError(TheobotError):
    """A benchmark whose result would mean nothing."""

    exit_code = 5
