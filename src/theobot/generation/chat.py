"""A conversation of several turns, with base, Theobot or both; knows no terminal.

`Conversation.handle` takes what a person typed and yields events; whoever shows them decides how.
"""

from __future__ import annotations

from collections.abc import Generator as PyGenerator
from collections.abc import Iterator
from typing import NamedTuple

from theobot.config import GenerationSettings
from theobot.data.prompt import Turn
from theobot.errors import ModelError
from theobot.generation.generator import Answer, Arm, Generator

HELP = """\
/base      let the base model answer from now on
/theobot   let Theobot (the base with the adapter) answer from now on
/compare   let both answer the next question
/reset     forget the conversation
/help      show this list
/quit      end the chat
Anything else is a question. Begin it with // to ask one that begins with a slash."""


class Note(NamedTuple):
    """Something to tell the person that is not part of an answer."""

    text: str


class Piece(NamedTuple):
    """The next piece of an arm's answer."""

    arm: Arm
    text: str


class Finished(NamedTuple):
    """An arm's whole answer, after its last piece."""

    arm: Arm
    answer: Answer


class Quit(NamedTuple):
    """The person wants to leave."""


Event = Note | Piece | Finished | Quit


class Conversation:
    """Turns so far, who answers, and the commands that change it.

    An answer joins the history only when it is whole: breaking off in the middle (Ctrl-C, or
    dropping the iterator) leaves the conversation as it was before the question.

    Args:
        generator: who answers.
        max_new_tokens: most tokens per answer.
        arm: who answers first; by default Theobot if there is an adapter.
    """

    def __init__(
        self,
        generator: Generator,
        max_new_tokens: int = GenerationSettings().max_new_tokens,
        arm: Arm | None = None,
    ) -> None:
        self.generator = generator
        self.max_new_tokens = max_new_tokens
        self.arm: Arm = arm or generator.arms[-1]
        self.compare_next = False
        self.history: list[Turn] = []

    def handle(self, line: str) -> Iterator[Event]:
        """React to one line: a command or a question."""
        text = line.strip()
        if text.startswith("/") and not text.startswith("//"):
            yield from self._command(text)
        elif text:
            yield from self._ask(text.removeprefix("/") if text.startswith("//") else text)

    def _command(self, text: str) -> Iterator[Event]:
        name = text.split()[0].lower()
        if name == "/quit":
            yield Quit()
        elif name == "/help":
            yield Note(HELP)
        elif name == "/reset":
            self.history.clear()
            self.compare_next = False
            yield Note("The conversation is forgotten.")
        elif name == "/base":
            self.arm = "base"
            yield Note("The base model answers from now on.")
        elif name in ("/theobot", "/compare") and "theobot" not in self.generator.arms:
            yield Note("No adapter was loaded, so that only the base model can answer.")
        elif name == "/theobot":
            self.arm = "theobot"
            yield Note("Theobot answers from now on.")
        elif name == "/compare":
            self.compare_next = True
            yield Note(
                "Both answer the next question; the conversation goes on with the answer of "
                f"{_NAMES[self.arm]}."
            )
        else:
            yield Note(f"{name} is no command. /help lists them.")

    def _ask(self, question: str) -> Iterator[Event]:
        arms = self.generator.arms if self.compare_next else (self.arm,)
        turns, dropped = self._fitting([*self.history, Turn("user", question)], arms)
        if dropped:
            yield Note(
                f"The conversation has outgrown the model's window of "
                f"{self.generator.context_window} tokens: its oldest {dropped} "
                f"{'question' if dropped == 1 else 'questions'} and answers are left out."
            )
        kept: Answer | None = None
        for arm in arms:
            try:
                answer = yield from self._stream(turns, arm)
            except ModelError as error:
                yield Note(str(error))
                return
            if arm == self.arm:
                kept = answer
        assert kept is not None, "the current arm is always among those asked"
        self.history = [*turns, Turn("assistant", kept.text)]
        self.compare_next = False

    def _stream(self, turns: list[Turn], arm: Arm) -> PyGenerator[Event, None, Answer]:
        """Yield an arm's pieces and its whole answer, which is also the value returned."""
        for part in self.generator.stream(turns, arm, self.max_new_tokens):
            if isinstance(part, Answer):
                yield Finished(arm, part)
                return part
            yield Piece(arm, part)
        raise AssertionError("a stream ends with its Answer")

    def _fitting(self, turns: list[Turn], arms: tuple[Arm, ...]) -> tuple[list[Turn], int]:
        """Drop the oldest question-and-answer pairs until prompt and answer fit the window."""
        window = self.generator.context_window
        # A large cap must not cost the whole history: at most half the window is kept free.
        room = window - min(self.max_new_tokens, window // 2)
        dropped = 0
        while len(turns) > 1 and any(
            self.generator.count_tokens(turns, arm) > room for arm in arms
        ):
            turns = turns[2:]
            dropped += 1
        return turns, dropped


_NAMES: dict[Arm, str] = {"base": "the base model", "theobot": "Theobot"}
