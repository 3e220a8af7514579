"""Theobot with and without the words of the verses that a question names: what are they worth?

The third arm of a benchmark: the same adapter twice, so that nothing but the words differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from theobot.config import PromptFormat
from theobot.data.prompt import Turn
from theobot.generation.generator import ARMS, SCRIPTURE, Answer, Arm, Generator, caps_of
from theobot.scripture.grounding import ground
from theobot.scripture.texts import TRANSLATION


def with_scripture(turns: Sequence[Turn]) -> list[Turn]:
    """A conversation with the words of the verses before its last question."""
    *before, last = turns
    return [*before, Turn(last.role, ground(last.text).prompt)]


class GroundedGenerator:
    """Theobot as the arm "base", and Theobot with scripture before the question as "theobot".

    A question that names no verse has the same prompt in both arms, and is answered once.

    Args:
        inner: who answers, with its arm "theobot".
    """

    arms: tuple[Arm, ...] = ARMS

    def __init__(self, inner: Generator) -> None:
        self.inner = inner
        own = inner.formats["theobot"]
        self.formats: Mapping[Arm, PromptFormat] = {"base": own, "theobot": own}
        self.context_window = inner.context_window

    def describe(self) -> dict[str, Any]:
        """See `Generator.describe`."""
        about = self.inner.describe()
        return about | {"decoding": about["decoding"] | {SCRIPTURE: TRANSLATION}}

    def render(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> str:
        """See `Generator.render`."""
        return self.inner.render(self._asked(turns, arm), "theobot", prompt_format)

    def count_tokens(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> int:
        """See `Generator.count_tokens`."""
        return self.inner.count_tokens(self._asked(turns, arm), "theobot", prompt_format)

    def answer(
        self,
        conversations: Sequence[Sequence[Turn]],
        arm: Arm,
        *,
        prompt_format: PromptFormat | None = None,
        max_new_tokens: Sequence[int] | int,
    ) -> list[Answer]:
        """See `Generator.answer`."""
        asked = [self._asked(turns, arm) for turns in conversations]
        return self.inner.answer(
            asked, "theobot", prompt_format=prompt_format, max_new_tokens=max_new_tokens
        )

    def answer_pairs(
        self,
        conversations: Sequence[Sequence[Turn]],
        *,
        formats: Mapping[Arm, PromptFormat],
        max_new_tokens: Sequence[int] | int,
    ) -> list[dict[Arm, Answer]]:
        """See `Generator.answer_pairs`; both arms in the format of Theobot."""
        count = len(conversations)
        caps = caps_of(max_new_tokens, count)
        grounded = [with_scripture(turns) for turns in conversations]
        changed = [i for i in range(count) if grounded[i] != list(conversations[i])]
        found = self.inner.answer_pairs(
            [*conversations, *(grounded[i] for i in changed)],
            formats={"theobot": formats["theobot"]},
            max_new_tokens=[*caps, *(caps[i] for i in changed)],
        )
        plain = [pair["theobot"] for pair in found[:count]]
        given = plain.copy()
        for i, pair in zip(changed, found[count:], strict=True):
            given[i] = pair["theobot"]
        return [{"base": a, "theobot": b} for a, b in zip(plain, given, strict=True)]

    def stream(
        self, turns: Sequence[Turn], arm: Arm, max_new_tokens: int
    ) -> Iterator[str | Answer]:
        """See `Generator.stream`."""
        return self.inner.stream(self._asked(turns, arm), "theobot", max_new_tokens)

    def adapter_effect(self, conversations: Sequence[Sequence[Turn]]) -> float | None:
        """Not asked: both arms have the same adapter."""
        return None

    @staticmethod
    def _asked(turns: Sequence[Turn], arm: Arm) -> Sequence[Turn]:
        return with_scripture(turns) if arm == "theobot" else turns
