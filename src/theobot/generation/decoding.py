"""Greedy decoding, the only way Theobot writes: one loop for single answers, streams and batches.

Nothing can sneak in from a model's own generation settings (Qwen2.5 ships a repetition penalty
and sampling values): the next token is the one with the highest logit. Unlike
`model.generate`, each row has its own cap, and a row that has ended leaves the batch, so that
one long answer does not make fifteen finished ones go on computing.

Not covered: sampling, beams, encoder-decoder models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch

from theobot.data.prompt import NEW_TURN
from theobot.errors import ModelError

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

    from theobot.generation.generator import StopReason

_TAIL = 12
"""Tokens decoded to look for a new turn: each holds a letter or more of its six."""


@dataclass
class Row:
    """One answer being written.

    `ids` holds every generated token, the end-of-sequence id included.
    """

    cap: int
    ids: list[int] = field(default_factory=list)
    stop: StopReason | None = None


class _State(NamedTuple):
    """What the next step needs: key/value cache, mask (B, T), last tokens and positions (B, 1)."""

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

    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        caps: Sequence[int],
        *,
        new_turn_ends: bool,
        before_step: Callable[[], None],
    ) -> Iterator[list[Row]]:
        """Write one token per unfinished row and step; yields all rows after each step.

        Args:
            prompts: B lists of token ids.
            caps: most new tokens of each row, at least 1.
            new_turn_ends: whether a row ends where a new user turn begins.
            before_step: called before each pass through the model, to choose the adapter.

        Raises:
            ModelError: the model computes no numbers (NaN).
        """
        rows = [Row(cap) for cap in caps]
        live = list(range(len(rows)))
        before_step()
        state = self._read(prompts)
        while True:
            for index, token in zip(live, state.tokens[:, 0].tolist(), strict=True):
                self._extend(rows[index], token, new_turn_ends)
            yield rows
            going = [k for k, index in enumerate(live) if rows[index].stop is None]
            if not going:
                return
            if len(going) < len(live):
                state = _keep(state, going)
                live = [live[k] for k in going]
            before_step()
            state = self._step(state)

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
    def _read(self, prompts: Sequence[Sequence[int]]) -> _State:
        ids, mask, positions = self.pad(prompts)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
        )
        if output.logits.isnan().any():
            raise ModelError(
                "The model computed NaN instead of numbers. Check its files and the adapter's; "
                "on a GPU without sound bfloat16, try --device cpu."
            )
        return _next(output.past_key_values, mask, positions[:, -1:], output.logits)

    @torch.inference_mode()
    def _step(self, state: _State) -> _State:
        output = self.model(
            input_ids=state.tokens,
            attention_mask=state.mask,
            position_ids=state.positions,
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return _next(output.past_key_values, state.mask, state.positions, output.logits)

    def _extend(self, row: Row, token: int, new_turn_ends: bool) -> None:
        row.ids.append(token)
        if token in self.stop_ids:
            row.stop = "eos"
        elif new_turn_ends and NEW_TURN in self.text(row.ids[-_TAIL:]):
            row.stop = "new_turn"
        elif len(row.ids) >= row.cap:
            row.stop = "length"


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokenizer's end-of-sequence id and all of the model's own."""
    configured = model.generation_config.eos_token_id
    own = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in [tokenizer.eos_token_id, *own] if i is not None)


def _next(
    cache: Cache, mask: torch.Tensor, positions: torch.Tensor, logits: torch.Tensor
) -> _State:
    """State after a pass: the chosen tokens are seen and counted in the next one."""
    grown = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return _State(cache, grown, positions + 1, logits[:, -1].argmax(dim=-1, keepdim=True))


@torch.inference_mode()
def _keep(state: _State, rows: list[int]) -> _State:
    """Drop the rows that have ended; the order of the others stays."""
    index = torch.tensor(rows, device=state.mask.device)
    state.cache.batch_select_indices(index)
    return _State(state.cache, state.mask[index], state.positions[index], state.tokens[index])
