"""When two texts say the same: normal form, exam stems, n-grams, near-duplicates.

Used within a file (`data check`) and between training rows and benchmark questions
(`bench leaks`). Shares are those of research on leaks in evaluation data: 13 words in a row, half
of the runs of 8 words, or a Jaccard index of 0.85.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import NamedTuple

NEAR = 0.85
"""Jaccard index from which two texts are near-duplicates."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_MARKS = re.compile(r"\[\d{1,2} marks?\]", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"\n]+\"|\u201c[^\u201d\n]+\u201d|(?<![^\W_])'[^'\n]{12,}'(?![^\W_])")
# Words of which exam questions' standing phrases are made. A run of them is a stem: it tells what
# kind of answer is wanted, and is the same in thousands of papers.
_STEM_WORDS = frozenset(
    """a about above account accurate against agree all also an and another answer any appropriate
    are argument arguments as at be belief beliefs believe believer believers briefly british
    britain by can chain christian christianity claim claims come comparing conclusion consider
    consideration contemporary contrasting could countering describe develop developed did
    different differ differing discuss do does each evaluate evaluation every example examples
    explain explaining explanation exploring faith faiths for from give gives giving have held hold
    holy how idea ideas identify in include including influence influences influenced is it its
    judgement justified justify kind least lead leads logical main make making may meant might more
    must name non not of on one opinion opposing opposite or other others out outline people point
    points practice practices pupil pupils reach reaches reaching reason reasoned reasoning reasons
    refer reference referring relevant religion religions religious response reveal sacred same say
    says scripture scriptures should show similar similarities society source sources state
    statement student students suggest suggests support supported supporting taught teach teaches
    teaching teachings text texts than that the their them there these they this thing things this
    those to today traditions tradition two use used uses using view viewpoint viewpoints views way
    ways weigh what when where whether which while who why with within word world worldview
    worldviews would writer writing writings write writes you your""".split()
)
_LEAST_STEM = 4


def normalise(text: str) -> str:
    """Lower case, one kind of apostrophe, no punctuation, single spaces."""
    return " ".join(words_of(text))


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, in their order."""
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def content_words(text: str) -> list[str]:
    """The words without exam stems, marks in brackets and quoted text.

    A stem is a run of at least four words that are all exam vocabulary, or such a run of any
    length at either end of the text.
    """
    words = words_of(_QUOTED.sub(" | ", _MARKS.sub(" ", text)))
    kept: list[str] = []
    run: list[str] = []
    for word in words:
        if word in _STEM_WORDS:
            run.append(word)
            continue
        if kept and len(run) < _LEAST_STEM:
            kept += run
        run = []
        kept.append(word)
    return kept


def ngrams(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    """All runs of `length` words."""
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


def shingles(text: str, length: int = 5) -> frozenset[str]:
    """All runs of `length` characters of the normalised text; of a shorter one the whole."""
    plain = normalise(text)
    if len(plain) <= length:
        return frozenset([plain] if plain else [])
    return frozenset(plain[at : at + length] for at in range(len(plain) - length + 1))


def jaccard(left: Set[str], right: Set[str]) -> float:
    """Size of the intersection over that of the union; 0 for two empty sets."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared) if shared else 0.0


def share_content(left: str, right: str) -> bool:
    """Whether two questions are about the same: half of their content words, or none in both."""
    mine, theirs = set(content_words(left)), set(content_words(right))
    return 2 * len(mine & theirs) >= len(mine | theirs)


class Pair(NamedTuple):
    """Two sets that are alike: their places, and their Jaccard index."""

    left: int
    right: int
    score: float


def similar_pairs(
    left: Sequence[frozenset[str]],
    right: Sequence[frozenset[str]] | None = None,
    threshold: float = NEAR,
) -> Iterator[Pair]:
    """Every pair of sets with a Jaccard index of at least `threshold`; exact, not sampled.

    Sets that are alike must share one of their rarest few members (Chaudhuri, Ganti and Kaushik,
    2006: prefix filtering), so that only those pairs are compared.

    Args:
        left: the sets; empty ones are like nothing.
        right: the sets to compare with; without them each pair within `left` comes once.
        threshold: least index.
    """
    others = left if right is None else right
    counts = Counter(chain.from_iterable((*left, *(right or ()))))
    # By count, and in the order of the alphabet among those of one count.
    by_count = sorted(sorted(counts), key=counts.__getitem__)
    ranks = {member: rank for rank, member in enumerate(by_count)}
    rarest = [_rarest(members, ranks, threshold) for members in left]
    index: dict[int, list[int]] = defaultdict(list)
    for place, members in enumerate(others):
        mine = rarest[place] if right is None else _rarest(members, ranks, threshold)
        for rank in mine:
            index[rank].append(place)
    for place, members in enumerate(left):
        seen: set[int] = set()
        for rank in rarest[place]:
            seen.update(index.get(rank, ()))
        for other in sorted(seen):
            if right is None and other <= place:
                continue
            sizes = sorted((len(members), len(others[other])))
            if sizes[0] < threshold * sizes[1]:
                continue
            score = jaccard(members, others[other])
            if score >= threshold:
                yield Pair(place, other, score)


def _rarest(members: frozenset[str], ranks: Mapping[str, int], threshold: float) -> list[int]:
    """The ranks of the members of which two alike sets must share one."""
    ranked = sorted(map(ranks.__getitem__, members))
    return ranked[: len(ranked) - math.ceil(threshold * len(ranked)) + 1]
