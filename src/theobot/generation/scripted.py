"""A generator that says what it was told: for tests, and for building pages without a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from theobot.config import PromptFormat
from theobot.data.prompt import Turn, render_prompt
from theobot.errors import AdapterError, ModelError
from theobot.generation.generator import ARMS, Answer, Arm, answer_in_turn, caps_of
from theobot.generation.live import Update


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
        arms: tuple[Arm, ...] = ARMS,
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
        caps = caps_of(max_new_tokens, count)
        return [
            self.scripted(turns[-1].text, arm, cap)
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
        answer = self.scripted(turns[-1].text, arm, max_new_tokens)
        for number, word in enumerate(answer.text.split(" ")):
            yield word if number == 0 else f" {word}"
        yield answer

    def live_batch(self, most_rows: int) -> ScriptedBatch:
        """See `live.LiveGenerator.live_batch`; a step writes one word for every row."""
        return ScriptedBatch(self, most_rows)

    def adapter_effect(self, conversations: Sequence[Sequence[Turn]]) -> float | None:
        """Unknown: there are no logits."""
        return None

    def scripted(self, question: str, arm: Arm, cap: int) -> Answer:
        """The answer to one question, cut at the cap."""
        if arm not in self.arms:
            raise AdapterError("No adapter was loaded, so that only the base model can answer.")
        script = self.script
        text = script[question] if isinstance(script, Mapping) else script(question, arm)
        words = text.split(" ")
        if len(words) > cap:
            return Answer(" ".join(words[:cap]), "length", cap)
        return Answer(text, "eos", len(words) + 1)


class ScriptedBatch:
    """See `live.LiveBatch`.

    Args:
        generator: says what is answered.
        most_rows: answers written at a time.
    """

    def __init__(self, generator: ScriptedGenerator, most_rows: int) -> None:
        self._generator = generator
        self._most_rows = most_rows
        self._rows: dict[int, tuple[Answer, list[str]]] = {}

    def __len__(self) -> int:
        """See `LiveBatch`."""
        return len(self._rows)

    def add(self, key: int, prompt: Sequence[Turn] | str, arm: Arm, max_new_tokens: int) -> int:
        """See `LiveBatch.add`; a text that stands by itself is its own question."""
        generator = self._generator
        text = prompt if isinstance(prompt, str) else generator.render(prompt, arm)
        count = len(text.split())
        room = generator.context_window - count
        if room < 1:
            raise ModelError(
                f"The question has {count} words, but {generator.context_window} are the most."
            )
        question = prompt if isinstance(prompt, str) else prompt[-1].text
        answer = generator.scripted(question, arm, min(max_new_tokens, room))
        words = answer.text.split(" ")
        self._rows[key] = answer, [words[0], *(f" {word}" for word in words[1:])]
        return count

    def drop(self, keys: Collection[int]) -> None:
        """See `LiveBatch.drop`."""
        for key in keys:
            self._rows.pop(key, None)

    def step(self) -> list[Update]:
        """See `LiveBatch.step`."""
        return [self._update(key) for key in list(self._rows)[: self._most_rows]]

    def _update(self, key: int) -> Update:
        answer, words = self._rows[key]
        assert answer.new_tokens is not None, "a script knows its words"
        if words:
            written = len(answer.text.split(" ")) - len(words) + 1
            piece = words.pop(0)
            if words or answer.stop_reason == "eos":
                return Update(key, piece, written)
            del self._rows[key]
            return Update(key, piece, answer.new_tokens, answer)
        del self._rows[key]
        return Update(key, "", answer.new_tokens, answer)
