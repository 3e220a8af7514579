import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.data.similarity import (
    content_words,
    jaccard,
    ngrams,
    normalise,
    shingles,
    similar_pairs,
)


def test_normalising_leaves_words_alone_and_nothing_else():
    assert (
        normalise("  Qur\u2019an 2:256 \u2014 \u201cNo COMPULSION\u201d! ")
        == "qur'an 2 256 no compulsion"
    )


@pytest.mark.parametrize(
    ("question", "content"),
    [
        (
            "Explain two different beliefs held in Britain today about abortion. Refer to "
            "Christianity and at least one other religious tradition. [4 marks]",
            "abortion",
        ),
        ("Explain two similar religious beliefs about just war. [4 marks]", "just war"),
        ("What does Genesis 1:27 teach about equality?", "genesis 1 27 teach about equality"),
        ("Evaluate this statement. [12 marks]", ""),
        ('"War is never right." Evaluate this statement. [12 marks]', ""),
    ],
)
def test_exam_stems_marks_and_quotations_are_taken_out(question, content):
    assert " ".join(content_words(question)) == content


def test_runs_of_words():
    assert ngrams(["a", "b", "c"], 2) == {("a", "b"), ("b", "c")}
    assert ngrams(["a"], 2) == set()


def test_the_jaccard_index_is_shared_over_all():
    assert jaccard({"a", "b"}, {"b", "c"}) == pytest.approx(1 / 3)
    assert jaccard(set(), set()) == 0


def test_a_short_text_is_one_shingle():
    assert shingles("War?") == {"war"}
    assert shingles("...") == frozenset()


@given(st.lists(st.frozensets(st.sampled_from("abcdefghij")), max_size=12), st.floats(0.3, 1))
def test_pairs_are_those_of_comparing_everything(sets, threshold):
    expected = {
        (left, right)
        for left, right in itertools.combinations(range(len(sets)), 2)
        if jaccard(sets[left], sets[right]) >= threshold
    }
    assert {(p.left, p.right) for p in similar_pairs(sets, threshold=threshold)} == expected


@given(
    st.lists(st.frozensets(st.sampled_from("abcdefgh")), max_size=8),
    st.lists(st.frozensets(st.sampled_from("abcdefgh")), max_size=8),
)
def test_two_lists_are_compared_crosswise(left, right):
    expected = {
        (at, to)
        for at, to in itertools.product(range(len(left)), range(len(right)))
        if jaccard(left[at], right[to]) >= 0.85
    }
    assert {(pair.left, pair.right) for pair in similar_pairs(left, right)} == expected


def test_many_unlike_texts_need_few_comparisons():
    words = random.Random(1)
    sets = [frozenset(f"w{words.randrange(50_000)}" for _ in range(60)) for _ in range(4_000)]
    sets[7] = sets[3_900]
    assert [(p.left, p.right) for p in similar_pairs(sets)] == [(7, 3_900)]
