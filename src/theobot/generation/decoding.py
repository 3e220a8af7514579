"""Greedy decoding, the only way Theobot writes: one loop for single answers, streams and batches.

Nothing can sneak in from a model's own generation settings (Qwen2.5 ships a repetition penalty
and sampling values): the next token is the one with the highest logit, the first of equals. Unlike
`model.generate`, each row has its own cap, and a row that has ended leaves the batch, so that
one long answer does not make fifteen finished ones go on computing.

Not covered: sampling, beams, encoder-decoder models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import pad

from theobot.data.prompt import NEW_TURN
from theobot.errors import ModelError
from theobot.generation.cache import BLOCK, RoomyLayer, roomy_cache
from theobot.generation.endings import trim_answer
from theobot.generation.generator import Answer

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

    from theobot.config import PromptFormat
    from theobot.generation.generator import StopReason

_TAIL = 12
"""Tokens decoded to look for a new turn: each holds a letter or more of its six."""


@dataclass
class Row:
    """One answer being written.

    `cap` is the most tokens, at least 1; `new_turn_ends` whether the answer ends where a new user
    turn begins. `ids` holds every generated token, the end-of-sequence id included.
    """

    cap: int
    new_turn_ends: bool
    ids: list[int] = field(default_factory=list)
    stop: StopReason | None = None


class State(NamedTuple):
    """What the next step needs: key/value cache, mask (B, T), last tokens and positions (B, 1).

    The mask is True where there is a token, and no padding.
    """

    cache: Cache
    mask: torch.Tensor
    positions: torch.Tensor
    tokens: torch.Tensor


class GreedyDecoder:
    """Writes answers token by token.

    Args:
        model: a causal language model; adapters, if any, sit inside its layers.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids(model, tokenizer)
        pad = tokenizer.pad_token_id
        self.pad_id = tokenizer.eos_token_id if pad is None else pad
        # As an index, not as a number: torch on a CPU multiplies a mere slice of the hidden states
        # row by row, and copies the whole LM head for each.
        self._last = torch.tensor([-1], device=model.device)
        self._ends_with_turn: dict[int, bool] = {}

    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        *,
        before_step: Callable[[Sequence[int]], None],
    ) -> None:
        """Write answers to their ends; a row that has ended is computed no more.

        Args:
            prompts: B lists of token ids.
            rows: the B answers to write, empty as yet.
            before_step: called before each pass through the model but the first, which has all
                rows, with the indices of the rows in it, in rising order.

        Raises:
            ModelError: the model computes no numbers (NaN).
        """
        live = list(range(len(rows)))
        state = self.read(prompts)
        while True:
            for index, token in zip(live, state.tokens[:, 0].tolist(), strict=True):
                self.extend(rows[index], token)
            going = [k for k, index in enumerate(live) if rows[index].stop is None]
            if not going:
                return
            if len(going) < len(live):
                state = keep(state, going)
                live = [live[k] for k in going]
            before_step(live)
            state = self.step(state)

    def answer(self, row: Row, prompt_format: PromptFormat | None) -> Answer:
        """A row that has ended, as an answer; with None as its format its text as it stands."""
        assert row.stop is not None, "an unfinished row has no answer yet"
        text = self.text(row.ids[:-1] if row.stop == "eos" else row.ids)
        if prompt_format is not None:
            text = trim_answer(text, new_turn_ends=prompt_format == "seed")
        return Answer(text, row.stop, len(row.ids))

    def text(self, ids: Sequence[int]) -> str:
        """Generated ids as text, without special tokens."""
        return str(
            self.tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows padded on the left: ids, mask and positions, each (B, T) on the model's device.

        Positions count from the first real token; padding is masked and sits at position 0.
        """
        width = max(len(row) for row in rows)
        ids = torch.tensor([[self.pad_id] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        device = self.model.device
        return ids.to(device), mask.to(device), positions.to(device)

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> State:
        """Read prompts into a cache of their own, and choose the first token of each answer."""
        ids, mask, positions = self.pad(prompts)
        cache = roomy_cache(self.model.config)
        return self._next(cache, mask.bool(), ids, positions)

    @torch.inference_mode()
    def step(self, state: State) -> State:
        """One pass through the model: the next token of every row."""
        return self._next(state.cache, state.mask, state.tokens, state.positions)

    def _next(
        self, cache: Cache, mask: torch.Tensor, ids: torch.Tensor, positions: torch.Tensor
    ) -> State:
        """One pass: reads ids (B, T') at their positions and chooses a token for each row."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=self._last,
        )
        # `max` finds the same index as `argmax`, on a CPU three times as fast, and a NaN as well.
        best = output.logits[:, -1].max(dim=-1, keepdim=True)
        if best.values.isnan().any():
            raise ModelError(
                "The model computed NaN instead of numbers. Check its files and the adapter's; "
                "on a GPU without sound bfloat16, try --device cpu."
            )
        grown = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return State(cache, grown, positions[:, -1:] + 1, best.indices)

    def extend(self, row: Row, token: int) -> None:
        """Add a token to an answer, and see whether it ends there."""
        row.ids.append(token)
        if token in self.stop_ids:
            row.stop = "eos"
        elif row.new_turn_ends and self._begins_new_turn(row):
            row.stop = "new_turn"
        elif len(row.ids) >= row.cap:
            row.stop = "length"

    def _begins_new_turn(self, row: Row) -> bool:
        """Whether the last token completes what a new turn begins with; it must hold its end."""
        token = row.ids[-1]
        if token not in self._ends_with_turn:
            self._ends_with_turn[token] = NEW_TURN[-1] in self.text([token])
        return self._ends_with_turn[token] and NEW_TURN in self.text(row.ids[-_TAIL:])


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokenizer's end-of-sequence id and all of the model's own."""
    configured = model.generation_config.eos_token_id
    own = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in [tokenizer.eos_token_id, *own] if i is not None)


@torch.inference_mode()
def keep(state: State, rows: list[int]) -> State:
    """Drop the rows that have ended; the order of the others stays."""
    index = torch.tensor(rows, device=state.mask.device)
    state.cache.batch_select_indices(index)
    return State(state.cache, state.mask[index], state.positions[index], state.tokens[index])


def can_join(state: State) -> bool:
    """Whether rows can join these; not where layers keep only a window of their tokens."""
    return all(isinstance(layer, RoomyLayer) for layer in state.cache.layers)


@torch.inference_mode()
def join(first: State, second: State, order: Sequence[int]) -> State:
    """Rows of two states in one: the last tokens stand together, shorter rows are padded in front.

    Keys know their positions already, so that a row computes what it would alone.

    Args:
        first: rows being written; its cache takes the others in.
        second: rows that join.
        order: the new order, as places in the rows of the first followed by those of the second.
    """
    places = torch.tensor(order, device=first.mask.device)
    for layer, other in zip(first.cache.layers, second.cache.layers, strict=True):
        assert isinstance(layer, RoomyLayer)
        assert isinstance(other, RoomyLayer)
        layer.join(other, places)
    width = max(first.mask.shape[1], second.mask.shape[1])
    masks = [pad(one.mask, (width - one.mask.shape[1], 0)) for one in (first, second)]
    return State(
        first.cache,
        torch.cat(masks)[places],
        torch.cat([first.positions, second.positions])[places],
        torch.cat([first.tokens, second.tokens])[places],
    )


@torch.inference_mode()
def trim(state: State) -> State:
    """Cut off the padding that all rows have in common, once it is long enough to be worth it."""
    padding = int(state.mask.any(dim=0).int().argmax())
    if padding < BLOCK or not can_join(state):
        return state
    for layer in state.cache.layers:
        assert isinstance(layer, RoomyLayer)
        layer.cut(padding)
    return state._replace(mask=state.mask[:, padding:])
