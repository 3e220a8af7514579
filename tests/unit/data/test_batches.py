"""Packing under a budget, and flattening."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from theobot.data.batches import flatten, pack, share_out
from theobot.data.tokens import TokenRow


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(16, 300))
def test_packing_keeps_each_row_once_and_within_the_budget(lengths, budget):
    groups = pack(lengths, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[index] for index in group) <= budget


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_packing_leaves_no_two_groups_that_would_fit_together(lengths):
    sums = sorted(sum(lengths[index] for index in group) for group in pack(lengths, 128))
    assert len(sums) < 2 or sums[0] + sums[1] > 128


def test_flattened_rows_predict_their_own_next_tokens_only():
    rows = [TokenRow([5, 6, 7, 8], 2, "a:1"), TokenRow([9, 10, 11], 0, "a:2")]
    flat = flatten(rows, "cpu")
    assert flat.input_ids.tolist() == [[5, 6, 7, 8, 9, 10, 11]]
    assert flat.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert flat.segments == [4, 3]
    assert flat.scored.tolist() == [1, 2, 4, 5]
    assert flat.targets.tolist() == [7, 8, 10, 11]


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(1, 9))
def test_sharing_out_keeps_each_row_once_and_in_order(lengths, ranks):
    shares = share_out(lengths, ranks)
    assert len(shares) == ranks
    assert sorted(index for share in shares for index in share) == list(range(len(lengths)))
    assert all(share == sorted(share) for share in shares)


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(1, 9))
def test_ranks_differ_by_no_more_tokens_than_one_row_has(lengths, ranks):
    sums = [sum(lengths[index] for index in share) for share in share_out(lengths, ranks)]
    assert max(sums) - min(sums) <= max(lengths, default=0)
