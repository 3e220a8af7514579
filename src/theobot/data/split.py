"""Split rows into training and dev so that no verse or topic stands on both sides.

A row belongs to the cluster that its metadata names (the primary verse, else the topic); without
one to the verse that its question cites first, else to the words that are left of the question once
the exam stem is gone. Clusters that share a verse, and questions that are nearly the same, stay
together. The choice is random but fixed by the seed, theme by theme.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from theobot.data.examples import Example, read_examples
from theobot.data.similarity import content_words, share_content, shingles, similar_pairs
from theobot.errors import DataError
from theobot.run_folder import explain_write_errors, write_texts
from theobot.scripture import Status, find_citations
from theobot.scripture.verses import single_verses


class Split(NamedTuple):
    """What was written.

    Args:
        train: file with the training rows.
        dev: file with the dev rows.
        train_rows: how many.
        dev_rows: how many.
        clusters: how many groups of rows had to stay together.
    """

    train: Path
    dev: Path
    train_rows: int
    dev_rows: int
    clusters: int


def split_file(source: str | Path, folder: Path, share: float = 0.1, seed: int = 42) -> Split:
    """Write `train.jsonl` and `dev.jsonl`; rows keep their order and everything they hold.

    Args:
        source: as `read_examples` takes it.
        folder: for the two files, which must not be there yet.
        share: of the rows that go to dev, as nearly as whole clusters allow.
        seed: of the random choice.

    Raises:
        DataError: rows are wrong, a file is there already, or there are too few clusters.
        RunError: the folder cannot be written.
    """
    if not 0 < share < 1:
        raise DataError(f"--dev {share:g}: a share between 0 and 1 was expected, such as 0.1.")
    folder = folder.expanduser()
    train, dev = folder / "train.jsonl", folder / "dev.jsonl"
    there = [str(path) for path in (train, dev) if path.exists()]
    if there:
        raise DataError(f"{' and '.join(there)}: exists already. Choose another folder with -o.")
    examples = read_examples(source)
    groups = clusters_of(examples)
    chosen = choose_dev(examples, groups, share, seed)
    if not chosen or len(chosen) == len(examples):
        raise DataError(
            f"{source}: its {len(examples)} rows make {len(groups)} cluster"
            f"{'s' if len(groups) != 1 else ''} of the same verse or topic, too few for a dev part "
            f"of {share:.0%}. Add rows on other topics, or give another share with --dev."
        )
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lines = [_line(example) for example in examples]
    write_texts(
        {
            path: "".join(line for place, line in enumerate(lines) if (place in chosen) is inside)
            for path, inside in ((train, False), (dev, True))
        }
    )
    return Split(train, dev, len(examples) - len(chosen), len(chosen), len(groups))


def clusters_of(examples: Sequence[Example]) -> list[list[int]]:
    """Groups of row numbers that belong together, in the order of their first rows."""
    parents = list(range(len(examples)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[str, int] = {}
    for place, example in enumerate(examples):
        for key in _keys(example):
            parents[root(place)] = root(first.setdefault(key, place))
    questions = [example.question for example in examples]
    for left, right, _ in similar_pairs([shingles(question) for question in questions]):
        if share_content(questions[left], questions[right]):
            parents[root(left)] = root(right)
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(len(examples)):
        groups[root(place)].append(place)
    return sorted(groups.values())


def choose_dev(
    examples: Sequence[Example], groups: Sequence[Sequence[int]], share: float, seed: int
) -> set[int]:
    """Row numbers for dev: whole groups, until each theme has its share.

    What one theme gets too much or too little of, the next makes up for.
    """
    by_theme: dict[str, list[Sequence[int]]] = defaultdict(list)
    for group in groups:
        by_theme[str(examples[group[0]].meta.get("theme"))].append(group)
    chosen: set[int] = set()
    missing = 0.0
    for theme, members in sorted(by_theme.items()):
        missing += share * sum(map(len, members))
        shuffled = list(members)
        random.Random(f"{seed} {theme}").shuffle(shuffled)
        for group in shuffled:
            # A group that overshoots by more than it brings nearer is left in training.
            if abs(missing - len(group)) < missing:
                chosen.update(group)
                missing -= len(group)
    return chosen


def _keys(example: Example) -> list[str]:
    named = example.meta.get("cluster") or example.meta.get("topic")
    if isinstance(named, str) and named.strip():
        cited = find_citations(named)
        return single_verses(cited[0].reference) if cited else [named.strip().casefold()]
    question = example.question
    cited = [one for one in find_citations(question) if one.status is not Status.TOO_BROAD]
    if cited:
        return single_verses(cited[0].reference)
    return [" ".join(sorted(set(content_words(question)))) or question]


def _line(example: Example) -> str:
    row: dict[str, object] = {"prompt": example.prompt, "completion": example.completion}
    if example.meta:
        row["meta"] = example.meta
    return json.dumps(row, ensure_ascii=False) + "\n"
