from __future__ import annotations

from itertools import chain

import pytest
import torch
from transformers import DynamicCache, MistralConfig, Qwen2Config

from theobot.generation.cache import (
    BLOCK,
    MOST_ROWS,
    Length,
    RoomyLayer,
    fitting_batches,
    roomy_cache,
)


def test_it_holds_what_transformers_own_cache_holds():
    config = Qwen2Config(num_hidden_layers=2)
    ours, theirs = roomy_cache(config), DynamicCache(config=config)
    assert all(type(layer) is RoomyLayer for layer in ours.layers)
    torch.manual_seed(0)
    for tokens in (5, *[1] * (BLOCK + 3), 2):
        for layer in range(2):
            new = torch.randn(2, 4, 3, tokens, 8)
            for mine, other in zip(
                ours.update(*new, layer), theirs.update(*new, layer), strict=True
            ):
                assert torch.equal(mine, other)
        assert ours.get_seq_length() == theirs.get_seq_length()
        if tokens == 2:
            break
    kept = torch.tensor([0, 3])
    for cache in (ours, theirs):
        cache.batch_select_indices(kept)
    new = torch.randn(2, 2, 3, 1, 8)
    for mine, other in zip(ours.update(*new, 1), theirs.update(*new, 1), strict=True):
        assert torch.equal(mine, other)


def test_it_copies_once_in_a_block_of_tokens():
    layer = RoomyLayer()
    places = set()
    for _ in range(2 * BLOCK):
        new = torch.zeros(1, 1, 1, 4)
        keys, _ = layer.update(new, new)
        places.add(keys.data_ptr())
    assert len(places) <= 3


def test_layers_with_a_window_keep_their_own_cache():
    cache = roomy_cache(MistralConfig(num_hidden_layers=2, sliding_window=8))
    assert not any(isinstance(layer, RoomyLayer) for layer in cache.layers)


def test_batches_hold_everything_once_the_longest_first(tiny_model):
    lengths = [Length(cap, prompt) for cap, prompt in [(32, 9), (768, 20), (192, 30), (192, 50)]]
    assert fitting_batches(tiny_model, lengths, free=1e12) == [[1, 3, 2, 0]]
    assert fitting_batches(tiny_model, lengths, free=0) == [[1], [3], [2], [0]]
    assert fitting_batches(tiny_model, [], free=1e12) == []
    many = fitting_batches(tiny_model, lengths * 100, rows_each=2, free=1e12)
    assert [len(batch) for batch in many] == [MOST_ROWS // 2] * 6 + [16]
    assert sorted(chain.from_iterable(many)) == list(range(400))


def test_the_bytes_of_a_row_are_those_of_its_cache_and_more(tiny_model):
    # 2 layers, keys and values, 2 heads of 8, 4 bytes: 256 bytes for each token.
    length = Length(cap=1000, prompt=24)
    cached = 256 * (1000 + 24)
    fits = [
        len(fitting_batches(tiny_model, [length] * 8, free=rows * cached / 0.8)[0])
        for rows in (4, 8, 12)
    ]
    assert fits[0] < 4
    assert fits[0] < fits[1] < 8
    assert fits[2] == 8


@pytest.mark.parametrize("free", [1e5, 1e6, 1e7])
def test_a_long_prompt_counts_for_the_whole_batch(tiny_model, free: float):
    short, long = [Length(10, 10)] * 6, [Length(9, 400)]
    together = fitting_batches(tiny_model, [*short, *long], free=free)
    alone = fitting_batches(tiny_model, short, free=free)
    assert len(together) >= len(alone)
