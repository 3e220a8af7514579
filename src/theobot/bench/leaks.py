"""Benchmark questions that the training rows give away: which, where, and how nearly.

Levels, from research/evaluation.md 3.7: the same text; a run of 13 words, or half of the runs of 8;
letters or words that are 85 % the same. Exam stems and quoted text do not count, since they are the
same in every paper. That a verse occurs in training is a label, not a leak: "seen" and "unseen"
verses are told apart in the report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from theobot.bench.questions import Question, read_questions, read_set
from theobot.data.examples import Example, read_examples
from theobot.data.findings import Finding, error
from theobot.data.similarity import (
    content_words,
    ngrams,
    normalise,
    share_content,
    shingles,
    similar_pairs,
    words_of,
)
from theobot.scripture.verses import verses_of

_LONG_RUN = 13
_SHORT_RUN = 8
_LEAST_RUNS = 4
"""Fewer runs of 8 words than this are no sample to take a half of."""
_SHORT_TEXT = 8
"""Answers of fewer words ("B) Get", "six") may be the same by right."""

_Pairs = Iterator[tuple[int, int, float, str]]


class Level(StrEnum):
    """How a question and a training row are alike; the last two are labels, not leaks."""

    EXACT = "exact"
    NGRAM = "ngram"
    NEAR_DUPLICATE = "near_duplicate"
    SAME_VERSE_AND_TRADITION = "same_verse_and_tradition"
    SAME_VERSE = "same_verse"

    @property
    def is_leak(self) -> bool:
        """Whether a benchmark with such a pair would measure memory."""
        return self not in (Level.SAME_VERSE, Level.SAME_VERSE_AND_TRADITION)


class Text(NamedTuple):
    """One side of a comparison: a row or a benchmark question.

    Args:
        where: file and line, or set and id.
        question: what is asked.
        answer: the completion or reference; empty where there is none.
        traditions: religions and denominations it names.
    """

    where: str
    question: str
    answer: str
    traditions: frozenset[str]


class Leak(NamedTuple):
    """A pair that is alike.

    Args:
        level: how.
        part: "question" or "answer".
        score: share of what is the same, 0 to 1.
        trained: the training row (or the question of another set).
        asked: the benchmark question.
        shared: the words or the verse that both have.
    """

    level: Level
    part: str
    score: float
    trained: Text
    asked: Text
    shared: str

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "level": self.level.value,
            "leak": self.level.is_leak,
            "part": self.part,
            "score": round(self.score, 3),
            "trained": {"where": self.trained.where, "text": getattr(self.trained, self.part)},
            "asked": {"where": self.asked.where, "text": getattr(self.asked, self.part)},
            "shared": self.shared,
        }

    def sentence(self) -> str:
        """What is alike, for a person."""
        what = {
            Level.EXACT: "is word for word",
            Level.NGRAM: "shares a long run of words with",
            Level.NEAR_DUPLICATE: "is nearly",
            Level.SAME_VERSE_AND_TRADITION: "is on the same verse and tradition as",
            Level.SAME_VERSE: "is on the same verse as",
        }[self.level]
        shared = f' ("{self.shared}")' if self.shared else ""
        return f"{self.part} {what} that of {self.asked.where}{shared}"


def find_leaks(trained: Sequence[Text], asked: Sequence[Text]) -> list[Leak]:
    """All pairs that are alike, the gravest level of each pair and part; in the rows' order."""
    return _in_order([*_copies(trained, asked), *_same_verses(trained, asked)], trained)


def _copies(trained: Sequence[Text], asked: Sequence[Text]) -> list[Leak]:
    """The pairs that are leaks, without the labels."""
    return [*_alike("question", trained, asked), *_alike("answer", trained, asked)]


def _in_order(found: list[Leak], trained: Sequence[Text]) -> list[Leak]:
    order = {id(text): place for place, text in enumerate(trained)}
    return sorted(found, key=lambda leak: order[id(leak.trained)])


def across_sets(questions: Sequence[Question]) -> list[Leak]:
    """Pairs of questions in different sets that are alike; verses are not compared."""
    by_set: dict[str, list[Text]] = defaultdict(list)
    for question in questions:
        by_set[question.set].append(from_question(question))
    groups = list(by_set.values())
    return [
        leak
        for place, earlier in enumerate(groups)
        for later in groups[place + 1 :]
        for leak in _in_order(_copies(earlier, later), earlier)
    ]


def check_files(train: str | Path, places: Sequence[Path] = ()) -> list[Leak]:
    """Leaks from a file of training rows into question files, and between question sets.

    Args:
        train: as `read_examples` takes it.
        places: files with one question a line, or folders of question sets; without any the
            shipped sets.

    Raises:
        DataError: rows or questions cannot be read.
    """
    trained = [from_example(example) for example in read_examples(train)]
    where: Sequence[Path | None] = places or [None]
    questions = [question for place in where for question in _questions_of(place)]
    return find_leaks(trained, [from_question(one) for one in questions]) + across_sets(questions)


def _questions_of(place: Path | None) -> list[Question]:
    return read_questions(place) if place is None or place.is_dir() else read_set(place)


def from_example(example: Example) -> Text:
    """A training row as one side of the comparison."""
    named = [*(example.meta.get("religions") or []), *(example.meta.get("traditions") or [])]
    return Text(example.where, example.question, example.completion, frozenset(map(str, named)))


def from_question(question: Question) -> Text:
    """A benchmark question as one side of the comparison."""
    named = question.meta.get("religions") or []
    where = f"{question.set}:{question.id}"
    return Text(where, question.text, question.reference or "", frozenset(map(str, named)))


def find_leaks_in_rows(examples: Sequence[Example], questions: Path | None) -> list[Finding]:
    """The leaks into the question sets as findings about training rows; labels are left out.

    Args:
        examples: the rows.
        questions: folder of the question sets; without it the shipped ones.
    """
    asked = [from_question(question) for question in read_questions(questions)]
    trained = [from_example(example) for example in examples]
    return [
        error(
            leak.trained.where, "leak", f"its {leak.sentence()}: the benchmark would test memory."
        )
        for leak in _in_order(_copies(trained, asked), trained)
    ]


def _alike(part: str, trained: Sequence[Text], asked: Sequence[Text]) -> Iterator[Leak]:
    left = [getattr(text, part) for text in trained]
    right = [getattr(text, part) for text in asked]
    told: set[tuple[int, int]] = set()
    for level, pairs in (
        (Level.EXACT, _exact(left, right)),
        (Level.NGRAM, _shared_runs(left, right)),
        (Level.NEAR_DUPLICATE, _near(left, right)),
    ):
        for at, to, score, shared in pairs:
            if (at, to) not in told:
                told.add((at, to))
                yield Leak(level, part, score, trained[at], asked[to], shared)


def _exact(left: Sequence[str], right: Sequence[str]) -> _Pairs:
    places: dict[str, list[int]] = defaultdict(list)
    for to, text in enumerate(right):
        places[normalise(text)].append(to)
    for at, text in enumerate(left):
        plain = normalise(text)
        if len(plain.split()) >= _SHORT_TEXT or text.rstrip().endswith(("?", "]")):
            yield from ((at, to, 1.0, "") for to in places.get(plain, ()))


def _shared_runs(left: Sequence[str], right: Sequence[str]) -> _Pairs:
    """Pairs with 13 words in a row, or with half of the shorter text's runs of 8."""
    words = [content_words(text) for text in right]
    long_runs: dict[tuple[str, ...], set[int]] = defaultdict(set)
    short_runs: dict[tuple[str, ...], set[int]] = defaultdict(set)
    counts = []
    for to, text in enumerate(words):
        short = ngrams(text, _SHORT_RUN)
        counts.append(len(short))
        for run in ngrams(text, _LONG_RUN):
            long_runs[run].add(to)
        for run in short:
            short_runs[run].add(to)
    for at, text in enumerate(content_words(text) for text in left):
        shared: dict[int, list[tuple[str, ...]]] = defaultdict(list)
        mine = ngrams(text, _SHORT_RUN)
        for run in sorted(mine & short_runs.keys()):
            for to in short_runs[run]:
                shared[to].append(run)
        long = {to for run in ngrams(text, _LONG_RUN) & long_runs.keys() for to in long_runs[run]}
        for to, runs in sorted(shared.items()):
            least = min(len(mine), counts[to])
            score = len(runs) / least
            if to in long or (least >= _LEAST_RUNS and score >= 0.5):
                yield at, to, score, " ".join(runs[0])


def _near(left: Sequence[str], right: Sequence[str]) -> _Pairs:
    """Pairs alike in letters or in words, and alike in content too once the stems are gone."""
    found: dict[tuple[int, int], float] = {}
    for sets in (
        ([shingles(text) for text in left], [shingles(text) for text in right]),
        ([frozenset(words_of(t)) for t in left], [frozenset(words_of(t)) for t in right]),
    ):
        for at, to, score in similar_pairs(*sets):
            found[at, to] = max(score, found.get((at, to), 0))
    for (at, to), score in sorted(found.items()):
        long = len(words_of(left[at])) >= _SHORT_TEXT
        if long and share_content(left[at], right[to]):
            yield at, to, score, ""


def _same_verses(trained: Sequence[Text], asked: Sequence[Text]) -> Iterator[Leak]:
    """Questions about a verse that a training row cites, in its question or answer."""
    verses = [(to, verse) for to, text in enumerate(asked) for verse in verses_of(text.question)]
    places: dict[str, list[int]] = defaultdict(list)
    for to, verse in verses:
        places[verse].append(to)
    for text in trained:
        cited = verses_of(text.question) | verses_of(text.answer)
        for verse in sorted(cited & places.keys()):
            for to in places[verse]:
                same = text.traditions & asked[to].traditions
                level = Level.SAME_VERSE_AND_TRADITION if same else Level.SAME_VERSE
                yield Leak(level, "question", 1.0, text, asked[to], verse)
