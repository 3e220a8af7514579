"""How a server behaves, decided once at its start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from theobot.config import ServeSettings
from theobot.serving.school import find_unsuitable

if TYPE_CHECKING:
    from theobot.serving.hosts import Hosts
    from theobot.serving.records import Records

TextFilter = Callable[[str], str | None]
"""Looks at a question, or at the end of an answer so far whenever a word is added to it (the whole
answer at its end); gives a sentence for the reader where it must not go on, else None."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the person who starts a server decides, and what follows from it.

    Args:
        settings: what was typed.
        device: the sentence that tells where it computes.
        hosts: by which names it may be addressed; None for any.
        token: what programs have to show; None for nothing.
        per_client: answers at a time for one client; None for any number.
        check: the filter of questions and answers of conversations; None for none.
        records: where conversations are recorded; None where they are not.
    """

    settings: ServeSettings = field(default_factory=ServeSettings)
    device: str = ""
    hosts: Hosts | None = None
    token: str | None = None
    per_client: int | None = None
    check: TextFilter | None = find_unsuitable
    records: Records | None = None
