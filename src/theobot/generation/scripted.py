"""A generator that says what it was told: for tests, and for building pages without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from theobot.config import PromptFormat
from theobot.data.prompt import Turn, render_prompt
from theobot.errors import AdapterError
from theobot.generation.generator import Answer, Arm, answer_in_turn


class ScriptedGenerator:
    """The one shipped fake: answers as it was told, a word being a token.

    Args:
        script: answers by question, or a function of question and arm.
        arms: who can answer.
        context_window: most words of prompt and answer together.
    """

    def __init__(
        self,
        script: Mapping[str, str] | Callable[[str, Arm], str],
        arms: tuple[Arm, ...] = ("base", "theobot"),
        context_window: int = 4096,
    ) -> None:
        self.script = script
        self.arms = arms
        self.formats: Mapping[Arm, PromptFormat] = {"base": "seed", "theobot": "seed"}
        self.context_window = context_window

    def describe(self) -> dict[str, Any]:
        """See `Generator.describe`."""
        return {
            "model": "scripted",
            "adapter_sha256": None,
            "adapter_config_sha256": None,
            "against_sha256": None,
            "decoding": {"method": "scripted"},
        }

    def render(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> str:
        """See `Generator.render`; always in the seed's format."""
        return render_prompt(turns, "seed")

    def count_tokens(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> int:
        """Words of the prompt."""
        return len(self.render(turns, arm).split())

    def answer(
        self,
        conversations: Sequence[Sequence[Turn]],
        arm: Arm,
        *,
        prompt_format: PromptFormat | None = None,
        max_new_tokens: Sequence[int] | int,
    ) -> list[Answer]:
        """Answers from the script, cut at the cap."""
        count = len(conversations)
        caps = [max_new_tokens] * count if isinstance(max_new_tokens, int) else max_new_tokens
        return [
            self._scripted(turns[-1].text, arm, cap)
            for turns, cap in zip(conversations, caps, strict=True)
        ]

    def answer_pairs(
        self,
        conversations: Sequence[Sequence[Turn]],
        *,
        formats: Mapping[Arm, PromptFormat],
        max_new_tokens: Sequence[int] | int,
    ) -> list[dict[Arm, Answer]]:
        """Answers from the script, one arm after the other."""
        return answer_in_turn(self, conversations, formats, max_new_tokens)

    def stream(
        self, turns: Sequence[Turn], arm: Arm, max_new_tokens: int
    ) -> Iterator[str | Answer]:
        """The scripted answer word by word."""
        answer = self._scripted(turns[-1].text, arm, max_new_tokens)
        for number, word in enumerate(answer.text.split(" ")):
            yield word if number == 0 else f" {word}"
        yield answer

    def adapter_effect(self, conversations: Sequence[Sequence[Turn]]) -> float | None:
        """Unknown: there are no logits."""
        return None

    def _scripted(self, question: str, arm: Arm, cap: int) -> Answer:
        if arm not in self.arms:
            raise AdapterError("No adapter was loaded, so that only the base model can answer.")
        script = self.script
        text = script[question] if isinstance(script, Mapping) else script(question, arm)
        words = text.split(" ")
        if len(words) > cap:
            return Answer(" ".join(words[:cap]), "length", cap)
        return Answer(text, "eos", len(words) + 1)
