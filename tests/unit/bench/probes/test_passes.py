from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.probes.passes import passes

LENGTHS = st.lists(st.integers(1, 50), max_size=30)


@given(LENGTHS, st.integers(1, 120))
def test_every_row_is_in_one_pass_and_none_is_too_large(lengths, most):
    found = list(passes(list(enumerate(lengths)), lambda row: row[1], most))
    assert sorted(row for batch in found for row in batch) == list(enumerate(lengths))
    for batch in found:
        widest = max(length for _, length in batch)
        assert len(batch) == 1 or len(batch) * widest <= most


def test_a_pass_is_as_full_as_it_may_be():
    assert list(passes("aaaaa", lambda row: 3, 6)) == [["a", "a"], ["a", "a"], ["a"]]
