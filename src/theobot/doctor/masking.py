"""What must not be shown (tokens, passwords), and what must not leave the machine (names)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from theobot.doctor.facts import Facts

_TOKEN = re.compile(r"\b(hf_|api_org_|ghp_|sk-)[A-Za-z0-9_-]{8,}")
# A password may hold "/" and "@" itself, so all up to the last "@" goes.
_PASSWORD = re.compile(r"(?<=://)\S*@")


def without_secrets(facts: Facts) -> Facts:
    """The same facts without what would open a door: tokens, and passwords in addresses."""
    return Facts.model_validate(_walk(facts.model_dump(), _hide_secrets))


def _hide_secrets(text: str) -> str:
    return _PASSWORD.sub("***@", _TOKEN.sub("***", text))


def without_names(told: Any, home: Path, environment: Mapping[str, str]) -> Any:
    """A report, as JSON holds it, without what would name the person.

    Args:
        told: texts, numbers, lists and mappings of them.
        home: the person's home, which is written "~".
        environment: variables, whose USER or USERNAME names the account.
    """
    account = environment.get("USER") or environment.get("USERNAME") or home.name
    return _walk(told, _masker(home, account))


def _masker(home: Path, account: str) -> Callable[[str], str]:
    # Whole parts of a path alone: an account called "data" must not change other words.
    of_account = re.compile(rf"(?<=[/\\]){re.escape(account)}(?=[/\\:]|$)") if account else None
    of_home = re.compile(rf"{re.escape(str(home))}(?=[/\\:'\"\s,)]|$)")
    home_is_known = len(home.parts) > 1

    def mask(text: str) -> str:
        if home_is_known:
            text = of_home.sub("~", text)
        if of_account is not None and account != "root":
            text = of_account.sub("USER", text)
        return text

    return mask


def _walk(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {name: _walk(part, mask) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(part, mask) for part in value]
    return value
