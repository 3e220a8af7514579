"""Examples as a whole: the shipped set, its counts, its fingerprint, and a stratified part."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theobot.data.examples import Example
from theobot.data.tokens import TokenRow

if TYPE_CHECKING:
    from datasets import Dataset


def shipped_training_data() -> Path:
    """The training rows of the package: `train_fixed.jsonl`, all six themes."""
    return Path(str(resources.files("theobot.curriculum"))) / "train_fixed.jsonl"


def shipped_dev_data() -> Path:
    """The dev rows of the package, on verses and topics that no training row is about."""
    return Path(str(resources.files("theobot.curriculum"))) / "dev.jsonl"


def to_dataset(rows: Sequence[TokenRow]) -> Dataset:
    """The token rows as a `datasets.Dataset` with the columns input_ids, learned_from, where."""
    from datasets import Dataset

    columns = zip(*rows, strict=True)
    return Dataset.from_dict(dict(zip(TokenRow._fields, map(list, columns), strict=True)))


def fingerprint(examples: Iterable[Example]) -> str:
    """SHA-256 over prompts and completions in their order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([example.prompt, example.completion]).encode())
    return digest.hexdigest()


def summarise(examples: Sequence[Example]) -> dict[str, Any]:
    """Counts per theme, type and religion, and answer lengths in words."""
    words = [len(example.completion.split()) for example in examples]
    repeated = [prompt for prompt, n in Counter(e.prompt for e in examples).items() if n > 1]
    return {
        "rows": len(examples),
        "fingerprint": fingerprint(examples),
        "repeated_prompts": len(repeated),
        "answer_words": {
            "shortest": min(words),
            "median": statistics.median(words),
            "longest": max(words),
        },
        "themes": _count(example.meta.get("theme") for example in examples),
        "types": _count(example.meta.get("qtype") for example in examples),
        "religions": _count(name for e in examples for name in e.meta.get("religions") or []),
    }


def _count(values: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter(str(value) for value in values if value is not None).items()))


def stratified(examples: Sequence[Example], per_theme: int) -> list[Example]:
    """A fixed part with `per_theme` rows of each theme, spread over the question types.

    Rows keep their order in the file. The choice depends on the rows alone, so that two people
    get the same part.
    """
    by_theme: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, example in enumerate(examples):
        theme, kind = str(example.meta.get("theme")), str(example.meta.get("qtype"))
        by_theme[theme][kind].append(index)
    chosen: list[int] = []
    for kinds in by_theme.values():
        chosen.extend(_round_robin(list(kinds.values()))[:per_theme])
    return [examples[index] for index in sorted(chosen)]


def _round_robin(groups: Sequence[Sequence[int]]) -> list[int]:
    """One of each group in turn, but each group in proportion to its size."""
    ranked = [
        ((position + 0.5) / len(group), order, index)
        for order, group in enumerate(groups)
        for position, index in enumerate(group)
    ]
    return [index for _, _, index in sorted(ranked)]
