"""The data as a whole."""

from __future__ import annotations

from collections import Counter

from theobot.data.dataset import (
    fingerprint,
    shipped_dev_data,
    shipped_training_data,
    stratified,
    summarise,
    to_dataset,
)
from theobot.data.examples import Example, read_examples
from theobot.data.tokens import TokenRow


def example(theme: str, kind: str, number: int) -> Example:
    meta = {"theme": theme, "qtype": kind, "religions": ["Islam"]}
    return Example(f"User: {theme}{kind}{number}?\nAssistant:", "one two", meta, f"a:{number}")


def test_the_shipped_training_set_has_forty_rows_of_each_theme():
    examples = read_examples(shipped_training_data())
    themes = Counter(example.meta["theme"] for example in examples)
    assert sorted(themes) == list("ABCDEF")
    assert min(themes.values()) >= 40


def test_no_cluster_stands_in_both_the_training_and_the_dev_set():
    train = {example.meta["cluster"] for example in read_examples(shipped_training_data())}
    dev = {example.meta["cluster"] for example in read_examples(shipped_dev_data())}
    assert not train & dev


def test_no_prompt_is_repeated_in_the_shipped_sets():
    both = [*read_examples(shipped_training_data()), *read_examples(shipped_dev_data())]
    assert len({example.prompt for example in both}) == len(both)


def test_the_summary_counts_rows_types_religions_and_words():
    examples = [example("A", "define", 1), example("B", "define", 2), example("A", "define", 1)]
    summary = summarise(examples)
    assert summary["rows"] == 3
    assert summary["themes"] == {"A": 2, "B": 1}
    assert summary["types"] == {"define": 3}
    assert summary["religions"] == {"Islam": 3}
    assert summary["repeated_prompts"] == 1
    assert summary["answer_words"] == {"shortest": 2, "median": 2, "longest": 2}


def test_the_fingerprint_depends_on_texts_and_order_alone():
    first, second = example("A", "define", 1), example("A", "define", 2)
    assert fingerprint([first, second]) != fingerprint([second, first])
    assert fingerprint([first]) == fingerprint([first._replace(where="elsewhere", meta={})])


def test_a_stratified_part_is_fixed_and_spread_over_themes_and_types():
    examples = [
        example(theme, kind, number)
        for theme in "AB"
        for kind, count in (("define", 20), ("short_1", 10))
        for number in range(count)
    ]
    part = stratified(examples, 6)
    assert part == stratified(examples, 6)
    counts = Counter((e.meta["theme"], e.meta["qtype"]) for e in part)
    assert counts == {(t, k): n for t in "AB" for k, n in (("define", 4), ("short_1", 2))}
    assert [e for e in examples if e in part] == part


def test_token_rows_become_a_datasets_dataset_and_back():
    rows = [TokenRow([1, 2, 3], 1, "a:1"), TokenRow([4, 5], 0, "a:2")]
    dataset = to_dataset(rows)
    assert [TokenRow(**row) for row in dataset] == rows
