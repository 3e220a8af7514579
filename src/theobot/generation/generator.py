"""The one seam of the project: who answers, as chat, benchmark and server know it.

`local.LocalGenerator` computes here, `remote.RemoteGenerator` asks a server; the one fake is
`scripted.ScriptedGenerator`. Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from theobot.config import PromptFormat
from theobot.data.prompt import Turn

Arm = Literal["base", "theobot"]
"""Who answers: the base model alone, or with the adapter.

Where two adapters are compared, "base" is the base model with the other adapter.
"""

ARMS: tuple[Arm, Arm] = ("base", "theobot")

SCRIPTURE = "scripture"
"""Entry of `describe()["decoding"]` where Theobot is given verses; whose words they are."""

StopReason = Literal["eos", "new_turn", "length", "stop"]
"""The model ended by itself, began to speak for the user, or was cut at the cap.

"stop" is one of the first two, from a server that does not say which.
"""


class Answer(NamedTuple):
    """One finished answer.

    `new_tokens` counts all that were generated, EOS included; of a server's answer it is that
    server's count, or None.
    """

    text: str
    stop_reason: StopReason
    new_tokens: int | None


class Generator(Protocol):
    """Something that answers conversations, one call at a time.

    `formats` is each arm's proper prompt format; `context_window` the most tokens of prompt and
    answer together.
    """

    arms: tuple[Arm, ...]
    formats: Mapping[Arm, PromptFormat]
    context_window: int

    def describe(self) -> dict[str, Any]:
        """What decides the answers besides the prompts: model, adapter hashes, decoding."""
        ...

    def render(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> str:
        """The prompt as text."""
        ...

    def count_tokens(
        self, turns: Sequence[Turn], arm: Arm, prompt_format: PromptFormat | None = None
    ) -> int:
        """Length of the prompt in tokens."""
        ...

    def answer(
        self,
        conversations: Sequence[Sequence[Turn]],
        arm: Arm,
        *,
        prompt_format: PromptFormat | None = None,
        max_new_tokens: Sequence[int] | int,
    ) -> list[Answer]:
        """Answer one batch; caps are per row or one for all."""
        ...

    def answer_pairs(
        self,
        conversations: Sequence[Sequence[Turn]],
        *,
        formats: Mapping[Arm, PromptFormat],
        max_new_tokens: Sequence[int] | int,
    ) -> list[dict[Arm, Answer]]:
        """Answer each conversation by every arm that `formats` names; caps as in `answer`."""
        ...

    def stream(
        self, turns: Sequence[Turn], arm: Arm, max_new_tokens: int
    ) -> Iterator[str | Answer]:
        """Pieces of text as they come, then the Answer; the pieces joined are its text."""
        ...

    def adapter_effect(self, conversations: Sequence[Sequence[Turn]]) -> float | None:
        """Largest change of a next-token logit by the adapter; None where that is unknown.

        Raises:
            InvalidRunError: it is not known how large, but there is none.
        """
        ...


def caps_of(max_new_tokens: Sequence[int] | int, count: int) -> Sequence[int]:
    """The cap of each of `count` rows, where one may stand for all."""
    return [max_new_tokens] * count if isinstance(max_new_tokens, int) else max_new_tokens


def answer_in_turn(
    generator: Generator,
    conversations: Sequence[Sequence[Turn]],
    formats: Mapping[Arm, PromptFormat],
    max_new_tokens: Sequence[int] | int,
) -> list[dict[Arm, Answer]]:
    """`answer_pairs` for generators that know no better: a batch of one arm after the other."""
    answers: list[dict[Arm, Answer]] = [{} for _ in conversations]
    for arm, chosen in formats.items():
        found = generator.answer(
            conversations, arm, prompt_format=chosen, max_new_tokens=max_new_tokens
        )
        for place, answer in zip(answers, found, strict=True):
            place[arm] = answer
    return answers
