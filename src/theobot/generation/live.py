"""Answers that are written together, and join and leave between any two tokens.

A server's batch: nobody waits for the long answer of somebody else. A newcomer's prompt is read by
itself, and its row then joins those being written; what it computes is what it would compute alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt, tokenize_text
from theobot.errors import ModelError
from theobot.generation.endings import HALF_LETTER, settled_part
from theobot.generation.generator import Answer, Arm, Generator

if TYPE_CHECKING:
    from theobot.config import PromptFormat
    from theobot.generation.decoding import Row, State
    from theobot.generation.local import LocalGenerator

_MOST_READ = 2048
"""Tokens of prompts, padding included, that are read while the others wait; one is always read."""


class Update(NamedTuple):
    """What one step did for one answer.

    Args:
        key: whose answer.
        piece: text that can be shown now; often none.
        new_tokens: tokens generated so far.
        answer: the whole answer when this was its last piece. All pieces joined are its text.
    """

    key: int
    piece: str
    new_tokens: int
    answer: Answer | None = None


class LiveBatch(Protocol):
    """Answers being written and waiting to be; for one thread."""

    def __len__(self) -> int:
        """How many answers are not finished."""
        ...

    def add(self, key: int, prompt: Sequence[Turn] | str, arm: Arm, max_new_tokens: int) -> int:
        """Let an answer join as soon as there is room; answers begin in the order they came.

        Args:
            key: a number of the caller's own, not in use.
            prompt: a conversation, put into the arm's format; or a text that the model continues
                exactly as it stands, until its own end-of-sequence token.
            arm: who answers.
            max_new_tokens: most tokens of the answer.

        Returns:
            Tokens of the prompt.

        Raises:
            ModelError: the prompt fills the context window.
            PromptError: the model's template refuses the conversation.
            AdapterError: an arm that is not there.
        """
        ...

    def drop(self, keys: Collection[int]) -> None:
        """Forget answers; keys that are unknown or finished do not matter."""
        ...

    def step(self) -> list[Update]:
        """One more token for each answer, and the first one for those that join.

        Raises:
            ModelError: the model cannot go on. The batch is of no further use.
        """
        ...


class LiveGenerator(Generator, Protocol):
    """A generator that can also write a batch which changes while it is written."""

    def live_batch(self, most_rows: int) -> LiveBatch:
        """An empty batch of at most so many rows; the generator must do nothing else meanwhile."""
        ...


class GrowingText:
    """The text of tokens that keep coming, of which only the last few are decoded again.

    Args:
        decode: ids to text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._text = ""
        self._from = self._until = 0

    def update(self, ids: Sequence[int]) -> str:
        """The text of all ids so far, up to the last whole letter."""
        before = self._decode(ids[self._from : self._until])
        now = self._decode(ids[self._from :])
        # The ids before the new ones stay in view: some tokenizers write a first word otherwise.
        if not now.endswith(HALF_LETTER):
            self._text += now[len(before) :]
            self._from, self._until = self._until, len(ids)
        return self._text


@dataclass(eq=False)
class _Live:
    """One answer: whose, what it continues, in which format (None: a text as it stands)."""

    key: int
    prompt: list[int]
    arm: Arm
    prompt_format: PromptFormat | None
    row: Row
    text: GrowingText
    shown: str = ""

    @property
    def seen(self) -> list[int]:
        """All ids that the model must have read before the next one."""
        return self.prompt + self.row.ids


@dataclass(eq=False)
class _Group:
    """Answers that go through the model together, in the order of the state's rows."""

    lives: list[_Live]
    state: State


class LocalBatch:
    """See `LiveBatch`; computed by a model in this process.

    Where arms cannot share a pass, or rows cannot join (see `decoding.can_join`), there are several
    groups, which take turns. When memory runs out, all rows are read again, half as many at a time.

    Args:
        generator: the model; both arms.
        most_rows: of all groups together.
    """

    def __init__(self, generator: LocalGenerator, most_rows: int) -> None:
        self._generator = generator
        self._decoder = generator.decoder
        self._most_rows = self._rows = most_rows
        self._mixes = generator.mixes_arms
        self._waiting: deque[_Live] = deque()
        self._groups: list[_Group] = []
        self._free = 0.0

    def __len__(self) -> int:
        """See `LiveBatch`."""
        return len(self._waiting) + len(self._running())

    def add(self, key: int, prompt: Sequence[Turn] | str, arm: Arm, max_new_tokens: int) -> int:
        """See `LiveBatch.add`."""
        from theobot.generation.decoding import Row

        generator = self._generator
        generator.check_arm(arm)
        if not len(self):
            self._rows = self._most_rows
        chosen = None if isinstance(prompt, str) else generator.formats[arm]
        if isinstance(prompt, str):
            ids = tokenize_text(generator.tokenizer, prompt)
        else:
            ids = tokenize_prompt(generator.tokenizer, prompt, generator.formats[arm])
        row = Row(min(max_new_tokens, generator.room_after(ids)), chosen == "seed")
        text = GrowingText(self._decoder.text)
        self._waiting.append(_Live(key, ids, arm, chosen, row, text))
        return len(ids)

    def drop(self, keys: Collection[int]) -> None:
        """See `LiveBatch.drop`."""
        if not keys:
            return
        self._waiting = deque(live for live in self._waiting if live.key not in keys)
        tried = len(self._running())
        problem = _memory_problem(lambda: self._keep(lambda live: live.key not in keys))
        if problem:
            self._begin_again(tried, problem)

    def step(self) -> list[Update]:
        """See `LiveBatch.step`."""
        chosen = self._next_to_read()
        tried = len({live.key for live in [*self._running(), *chosen]})
        problem = _memory_problem(lambda: self._pass(chosen))
        updates = [self._update(live) for live in self._running()]
        problem = problem or _memory_problem(lambda: self._keep(_is_unfinished))
        if problem:
            self._begin_again(tried, problem)
        return updates

    def _pass(self, chosen: list[_Live]) -> None:
        """One token for everybody; prompts are read after those being written had theirs."""
        for group in self._groups:
            self._advance(group)
        for lives in self._by_pass(chosen):
            self._read(lives)

    def _running(self) -> list[_Live]:
        return [live for group in self._groups for live in group.lives]

    def _advance(self, group: _Group) -> None:
        with self._generator.computing_as([live.arm for live in group.lives]):
            group.state = self._decoder.step(group.state)
        self._extend(group)

    def _extend(self, group: _Group) -> None:
        for live, token in zip(group.lives, group.state.tokens[:, 0].tolist(), strict=True):
            self._decoder.extend(live.row, token)

    def _next_to_read(self) -> list[_Live]:
        """Those that have waited longest, as many as there is room for."""
        from theobot.generation.cache import Length, all_fit, free_memory

        network = self._generator.network
        running = self._running()
        if not running:
            self._free = free_memory(network.device)
        lengths = [Length(live.row.cap, len(live.prompt)) for live in running]
        chosen: list[_Live] = []
        longest = 0
        for live in self._waiting:
            longest = max(longest, len(live.seen))
            lengths.append(Length(live.row.cap, len(live.prompt)))
            fits = len(lengths) <= self._rows and all_fit(network, lengths, self._free)
            if len(lengths) > 1 and not fits:
                break
            if chosen and longest * (len(chosen) + 1) > _MOST_READ:
                break
            chosen.append(live)
        return chosen

    def _by_pass(self, lives: list[_Live]) -> list[list[_Live]]:
        """Cut into those that can go through the model together, the base's first in each part."""
        arms = self._generator.arms
        if self._mixes:
            lives = sorted(lives, key=lambda live: arms.index(live.arm))
            return [lives] if lives else []
        parts = [[live for live in lives if live.arm == arm] for arm in arms]
        return [part for part in parts if part]

    def _read(self, lives: list[_Live]) -> None:
        """Read prompts and choose the first tokens; the rows join a group if they can."""
        from theobot.generation.decoding import can_join, join

        with self._generator.computing_as([live.arm for live in lives]):
            new = _Group(lives, self._decoder.read([live.seen for live in lives]))
        group = next((one for one in self._groups if self._share_passes(one, new)), None)
        if group is None or not can_join(new.state):
            self._groups.append(new)
        else:
            everyone = group.lives + lives
            arms = self._generator.arms
            order = sorted(range(len(everyone)), key=lambda place: arms.index(everyone[place].arm))
            group.state = join(group.state, new.state, order)
            group.lives = [everyone[place] for place in order]
        # Only now: if memory had run out on the way, they would still be waiting.
        self._extend(new)
        for live in lives:
            self._waiting.remove(live)

    def _share_passes(self, one: _Group, other: _Group) -> bool:
        return self._mixes or one.lives[0].arm == other.lives[0].arm

    def _keep(self, wanted: Callable[[_Live], bool]) -> None:
        """Let rows leave their groups."""
        from theobot.generation.decoding import keep, trim

        smaller: list[tuple[_Group, list[int]]] = []
        for group in self._groups:
            places = [place for place, live in enumerate(group.lives) if wanted(live)]
            if len(places) < len(group.lives):
                group.lives = [group.lives[place] for place in places]
                smaller.append((group, places))
        # Before any tensor: where memory runs out on the way, nobody is left who was to leave.
        self._groups = [group for group in self._groups if group.lives]
        for group, places in smaller:
            if places:
                group.state = trim(keep(group.state, places))

    def _begin_again(self, tried: int, problem: str) -> None:
        """After memory ran out: every row is read again, half as many at a time.

        Raises:
            ModelError: memory is too small for a single answer.
        """
        if tried == 1:
            raise ModelError(
                "Out of memory while answering a single question. Close other programs, ask for "
                f"fewer tokens, or take a smaller model ({problem})."
            )
        self._rows = max(1, tried // 2)
        self._waiting.extendleft(reversed(list(filter(_is_unfinished, self._running()))))
        self._groups = []

    def _update(self, live: _Live) -> Update:
        row, chosen = live.row, live.prompt_format
        if row.stop is None:
            text = live.text.update(row.ids)
            shown = text if chosen is None else settled_part(text, new_turn_ends=chosen == "seed")
            answer = None
        else:
            answer = self._decoder.answer(row, chosen)
            shown = answer.text
        piece = shown[len(live.shown) :]
        live.shown = shown
        return Update(live.key, piece, len(row.ids), answer)


def _is_unfinished(live: _Live) -> bool:
    return live.row.stop is None


def _memory_problem(work: Callable[[], None]) -> str:
    """Do something; returns what torch said where memory ran out, once its tensors are gone."""
    from torch import OutOfMemoryError

    try:
        work()
    except OutOfMemoryError as error:
        return str(error) or "no more was said"
    return ""
