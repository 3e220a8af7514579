"""The key/value cache of answers being written: with room to grow, and how many rows fit.

transformers' own cache copies all that it holds at every token; here that is done once in `BLOCK`
tokens. What is computed stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor
from transformers import Cache, DynamicCache, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from theobot.model.device import free_memory as free_memory  # batches are cut by it

BLOCK = 64
"""Tokens for which room is made at a time."""

MOST_ROWS = 128
"""Rows of the largest batch: more gain little speed, and lose more answers when cut off."""

_SHARE = 0.8
"""Of the free memory; the rest is for gaps, kernels and other programs."""


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, (B, heads, T, width), as the used part of larger tensors."""

    _keys: Tensor
    _values: Tensor

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Begin without tokens and without room."""
        super().lazy_initialization(key_states, value_states)
        self.keys = self._keys = key_states[:, :, :0]
        self.values = self._values = value_states[:, :, :0]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append tokens; returns all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, after = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        self._keys = _with_room(self._keys, before, key_states)
        self._values = _with_room(self._values, before, value_states)
        self.keys, self.values = self._keys[:, :, :after], self._values[:, :, :after]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows, and the room behind them."""
        used = self.get_seq_length()
        self._keys, self._values = self._keys[indices], self._values[indices]
        self.keys, self.values = self._keys[:, :, :used], self._values[:, :, :used]

    def join(self, other: RoomyLayer, places: Tensor) -> None:
        """Take in another layer's rows; tokens end together, shorter rows get zeros in front.

        Args:
            other: layer with the same heads and width, and rows of its own.
            places: the new order of the rows, those of `other` counted after these.
        """
        mine, theirs = self.get_seq_length(), other.get_seq_length()
        used = max(mine, theirs)
        # Zeros, not just room: a masked value that is no number would still spoil the sum.
        self._keys = _joined(self._keys[:, :, :mine], other._keys[:, :, :theirs], used)[places]
        self._values = _joined(self._values[:, :, :mine], other._values[:, :, :theirs], used)[
            places
        ]
        self.keys, self.values = self._keys[:, :, :used], self._values[:, :, :used]

    def cut(self, tokens: int) -> None:
        """Forget the first tokens of every row."""
        used = self.get_seq_length() - tokens
        self._keys, self._values = self._keys[:, :, tokens:], self._values[:, :, tokens:]
        self.keys, self.values = self._keys[:, :, :used], self._values[:, :, :used]


def _joined(first: Tensor, second: Tensor, used: int) -> Tensor:
    rows, heads, _, width = first.shape
    room = first.new_zeros(rows + len(second), heads, used + BLOCK, width)
    room[:rows, :, used - first.shape[-2] : used] = first
    room[rows:, :, used - second.shape[-2] : used] = second
    return room


def _with_room(room: Tensor, before: int, new: Tensor) -> Tensor:
    """Put new tokens behind the first ones, into a larger tensor if need be."""
    after = before + new.shape[-2]
    if after > room.shape[-2]:
        batch, heads, _, width = new.shape
        larger = new.new_empty(batch, heads, after + BLOCK, width)
        larger[:, :, :before] = room[:, :, :before]
        room = larger
    room[:, :, before:after] = new
    return room


def roomy_cache(config: PretrainedConfig) -> Cache:
    """An empty cache; layers that see only a window of tokens keep transformers' own kind."""
    cache = DynamicCache(config=config)
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[place] = RoomyLayer()  # type: ignore[no-untyped-call]
    return cache


class Length(NamedTuple):
    """Most tokens of an answer and of its prompt; sorts by what takes longest."""

    cap: int
    prompt: int


def fitting_batches(
    network: PreTrainedModel,
    lengths: Sequence[Length],
    *,
    rows_each: int = 1,
    free: float | None = None,
) -> list[list[int]]:
    """Cut answers into batches that fit into memory, the longest first, and at most `MOST_ROWS`.

    Longest first, so that running out of memory shows at the beginning.

    Args:
        network: the model.
        lengths: of the answers.
        rows_each: rows of a batch for each of them.
        free: bytes of memory; by default what is free on the model's device.

    Returns:
        Indices into `lengths`; at least one in each batch, whether it fits or not.
    """
    if free is None:
        free = free_memory(network.device)
    batches: list[list[int]] = []
    cap = prompt = 0
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True):
        if batches:
            rows = rows_each * (len(batches[-1]) + 1)
            prompt = max(prompt, lengths[index].prompt)
            needed = rows * _row_bytes(network, Length(cap, prompt))
            if rows <= MOST_ROWS and needed <= _SHARE * free:
                batches[-1].append(index)
                continue
        cap, prompt = lengths[index]
        batches.append([index])
    return batches


def all_fit(network: PreTrainedModel, lengths: Sequence[Length], free: float) -> bool:
    """Whether answers of these lengths can be written together in so many bytes."""
    longest = Length(max(one.cap for one in lengths), max(one.prompt for one in lengths))
    return len(lengths) * _row_bytes(network, longest) <= _SHARE * free


def _row_bytes(network: PreTrainedModel, length: Length) -> int:
    """Bytes of a row: its cache, what its prompt needs on its way through a layer, its logits."""
    text = network.config.get_text_config()
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cached = 2 * text.num_hidden_layers * text.num_key_value_heads * head_width
    passing = 8 * text.hidden_size + 3 * text.intermediate_size
    numbers = (length.prompt + length.cap + BLOCK) * cached + length.prompt * passing
    return int((numbers + 2 * text.vocab_size) * network.dtype.itemsize)
