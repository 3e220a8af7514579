"""How a server behaves, decided once at its start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_TOKENS = 768
"""Most tokens of an answer where a request says nothing: enough for every kind of question."""

TextFilter = Callable[[str], str | None]
"""Looks at a question or an answer so far; a sentence for the reader where it must not go on."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the person who starts a server decides.

    Args:
        device: the sentence that tells where it computes.
        hosts: values of the Host header that are this server's; none are checked if empty.
        token: what programs have to show; None for nothing.
        scripture: whether verses are put before questions where a request does not say.
        max_tokens: of an answer where a request does not say.
        deadline: seconds after which an answer is ended as it stands.
    """

    device: str = ""
    hosts: frozenset[str] = frozenset()
    token: str | None = None
    scripture: bool = False
    max_tokens: int = DEFAULT_TOKENS
    deadline: float = 300.0
