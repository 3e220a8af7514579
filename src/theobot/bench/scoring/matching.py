"""Whether an answer makes a point of the mark scheme, and in which words.

A point is made when one of its accepted phrases, or its own text, is found in the answer:

- as a phrase: the same words in a row, whatever their form ("forgave" for "forgive"); the small
  words between may differ if two words that carry meaning are left;
- as a set: three or more words that carry meaning, all in one sentence and not far apart;
- as a reference: a phrase that is a reference to scripture is made by every spelling of one that
  overlaps it and exists ("Mt 5.39" for "Matthew 5:38-42").

Numbers must be equal; long words may be misspelt. Two guards: a phrase right after "not" or "never"
is none, unless it is itself negative, and words that the question already holds are none either,
so that repeating it earns nothing. What is *not* seen: irony, a view reported only to be rejected,
and whether what is said around the words is true.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from theobot.bench.scoring.word_forms import NOT, Token, is_misspelt, stem, tokens_of
from theobot.scripture import Status, find_citations

SET_SIZE = 3
"""Fewer words than this must stand together."""
_REACH = 8
"""A set may stretch over so many words for each of its own."""
_LONG_WORD = 8
_RUN = 4
_BACK = 6
"""How many small words may stand between "not" and what it denies."""

# What "not" may be separated by from the words it denies, besides function words.
_CARRIED_OVER = frozenset(
    stem(word)
    for word in "true correct right case mean believe think say claim teach suggest accept support "
    "actually simply really always fully truly ever like".split()
)
_LINKS = frozenset("but and or because since so if when while where although though".split())
_ONLY = frozenset("only just merely simply".split())
_QUOTED = re.compile(r"(?P<mark>['\"])(?P<word>[^'\"]+)(?P=mark)")
_SUCH_AS = re.compile(r"\bsuch as (?P<examples>.+)$")
_LABEL = re.compile(r"[^:.]+: (?P<rest>.+)$")
_EXAMPLES = re.compile(r", (?:or |and )?| or ")
_BARE_VERSE = re.compile(r"\d+:\d+(?:-\d+)?")
_PLACE = re.compile(
    r"(?P<name>.*?),?\s*(?P<chapter>\d+)(?::(?P<verse>\d+))?"
    r"(?:-(?:(?P<to_chapter>\d+):)?(?P<to>\d+))?"
)
_LAST = 10_000


class Reference(NamedTuple):
    """A stretch of a text: chapter and verse of its first and last verse; name "" is any text."""

    name: str
    first: tuple[int, int]
    last: tuple[int, int]

    def overlaps(self, other: Reference) -> bool:
        """Whether a verse belongs to both."""
        named = self.name == other.name or not self.name or not other.name
        return named and self.first <= other.last and other.first <= self.last


class Cited(NamedTuple):
    """A reference that exists, as it stands in a passage."""

    reference: Reference
    start: int
    end: int


class Passage:
    """A text, taken apart once to look for many phrases in it.

    Args:
        text: any text; spans index its NFC form, which is `text`.
    """

    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFC", text)
        self.tokens = tokens_of(self.text)
        self.content = [at for at, token in enumerate(self.tokens) if token.carries]
        self.stems = frozenset(token.stem for token in self.tokens)
        citations = find_citations(self.text)
        self.cited = [
            Cited(reference, citation.start, citation.end)
            for citation in citations
            if citation.status is not Status.MISSING
            if (reference := read_reference(citation.reference)) is not None
        ]
        self.missing = [(c.start, c.end) for c in citations if c.status is Status.MISSING]
        self._places: dict[str, list[int]] = defaultdict(list)
        for at, token in enumerate(self.tokens):
            self._places[token.stem].append(at)
        self._misspelt: dict[str, list[int]] = {}

    def places(self, wanted: Token) -> list[int]:
        """Where a word stands, in whatever form; where it stands misspelt if it stands nowhere."""
        found = self._places.get(wanted.stem)
        if found is not None:
            return found
        if len(wanted.word) < _LONG_WORD:
            return []
        if wanted.word not in self._misspelt:
            self._misspelt[wanted.word] = [
                at for at, token in enumerate(self.tokens) if is_misspelt(wanted.word, token.word)
            ]
        return self._misspelt[wanted.word]

    def slice(self, first: int, last: int) -> str:
        """The text from one token to another, spaces evened out."""
        return " ".join(self.text[self.tokens[first].start : self.tokens[last].end].split())


class Phrase(NamedTuple):
    """Something that makes a point.

    Args:
        text: as the mark scheme has it.
        tokens: its words.
        content: those that carry meaning.
        references: set where it is a reference and nothing else, to be found by overlap.
        quoted: set where it is a word in quotation marks, to be found in quotation marks only.
        negative: whether it denies something.
    """

    text: str
    tokens: tuple[Token, ...]
    content: tuple[Token, ...]
    references: tuple[Reference, ...]
    quoted: str
    negative: bool


def read_phrases(texts: Sequence[str], context: str = "") -> list[Phrase]:
    """Phrases of a mark scheme.

    Args:
        texts: accepted phrases.
        context: text that cites what a bare "4:129" is short for, such as the reference answer.
    """
    known = Passage(context).cited if any(_BARE_VERSE.fullmatch(text) for text in texts) else []
    return [_with_book(phrase, known) for phrase in map(_read_phrase, texts) if phrase.tokens]


def phrases_in(text: str) -> list[str]:
    """What to look for of a point's own text.

    The whole; what follows a label ("Principle: ..."); and the examples of "such as A, B or C", of
    which those that are one plain word are too weak.
    """
    phrases = [text]
    if label := _LABEL.fullmatch(text):
        phrases.append(label["rest"])
    if such := _SUCH_AS.search(text):
        parts = [such["examples"], *_EXAMPLES.split(such["examples"])]
        read = [_read_phrase(part) for part in parts]
        phrases += [one.text for one in read if len(one.content) > 1 or one.references]
    return list(dict.fromkeys(phrases))


def read_reference(text: str) -> Reference | None:
    """A reference in its one form ("Exodus 20:12-21:3", "CCC 2357") as a stretch of verses."""
    found = _PLACE.fullmatch(text)
    if found is None or not (found["name"] or found["verse"]):
        return None
    chapter, to = int(found["chapter"]), found["to"]
    first = (chapter, int(found["verse"] or 0))
    if found["verse"] is None:
        return Reference(found["name"], first, (int(to or chapter), _LAST))
    last = (int(found["to_chapter"] or chapter), int(to or found["verse"]))
    return Reference(found["name"], first, last)


def find(phrases: Sequence[Phrase], answer: Passage, asked: Passage) -> str:
    """The words of the answer that make one of these phrases; "" where there are none.

    Args:
        phrases: any of them will do; the first one found counts.
        answer: the answer.
        asked: the question; words that it holds do not count.
    """
    for phrase in phrases:
        for span in _spans(phrase, answer, asked):
            return span
    return ""


def find_words(text: str, answer: Passage, asked: Passage) -> str:
    """Where the answer says exactly these words, and does not deny them.

    Capitals and accents do not count, forms do: "quick" is not "quickly". Where the answer repeats
    four or more words of the question in a row, those do not count.
    """
    wanted = [token.word for token in tokens_of(unicodedata.normalize("NFC", text))]
    words = [token.word for token in answer.tokens]
    repeated = _repeated(words, [token.word for token in asked.tokens])
    for start in range(len(words) - len(wanted) + 1):
        span = range(start, start + len(wanted))
        if not wanted or words[start : span.stop] != wanted or repeated.intersection(span):
            continue
        if NOT in wanted or not _is_denied(answer, start):
            return answer.slice(start, span[-1])
    return ""


def _repeated(words: Sequence[str], asked: Sequence[str]) -> set[int]:
    """Indices of the words that repeat a run of the question."""
    runs = {tuple(asked[at : at + _RUN]) for at in range(len(asked) - _RUN + 1)}
    starts = [at for at in range(len(words)) if tuple(words[at : at + _RUN]) in runs]
    return {at + step for at in starts for step in range(_RUN)}


def _spans(phrase: Phrase, answer: Passage, asked: Passage) -> Iterator[str]:
    if phrase.quoted:
        yield from _quotations(phrase.quoted, answer)
        return
    yield from _citations(phrase, answer, asked)
    for span in _places(phrase, answer):
        if _allowed(phrase, answer, span) and not _echoes(phrase, span, answer, asked):
            yield answer.slice(span[0], span[-1])


def _places(phrase: Phrase, answer: Passage) -> Iterator[tuple[int, ...]]:
    """Places of the phrase: exact runs, runs of its content, then sets; as rising token indices."""
    yield from _in_a_row(phrase.tokens, answer, range(len(answer.tokens)))
    if len(phrase.content) > 1:
        yield from _in_a_row(phrase.content, answer, answer.content)
    if len({token.stem for token in phrase.content}) >= SET_SIZE:
        for span in _sets(phrase.content, answer):
            if not phrase.negative or any(_is_denied(answer, at) for at in span):
                yield span


def _in_a_row(
    wanted: Sequence[Token], answer: Passage, order: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Runs of the wanted words among the tokens named by `order`, within one sentence."""
    places = [answer.places(token) for token in wanted]
    if not all(places):
        return
    sets = [frozenset(found) for found in places]
    for start in places[0]:
        at = bisect_left(order, start)
        run = tuple(order[at : at + len(wanted)])
        if len(run) < len(wanted) or run[0] != start:
            continue
        together = answer.tokens[run[0]].sentence == answer.tokens[run[-1]].sentence
        if together and all(place in found for place, found in zip(run, sets, strict=True)):
            yield run


def _sets(wanted: Sequence[Token], answer: Passage) -> Iterator[tuple[int, ...]]:
    """Places where all wanted words but "not" stand in one sentence, near the rarest of them."""
    different = {token.stem: token for token in wanted if token.stem != NOT}
    places = sorted((answer.places(token) for token in different.values()), key=len)
    if not places[0]:
        return
    reach = _REACH * len(places)
    for anchor in places[0]:
        sentence = answer.tokens[anchor].sentence
        chosen = [anchor]
        for found in places[1:]:
            near = [at for at in found if answer.tokens[at].sentence == sentence]
            if not near:
                break
            chosen.append(min(near, key=lambda at: abs(at - anchor)))
        if len(chosen) == len(places) and max(chosen) - min(chosen) < reach:
            yield tuple(sorted(chosen))


def _allowed(phrase: Phrase, answer: Passage, span: Sequence[int]) -> bool:
    """Whether the words found are not denied, and are no part of another reference."""
    start, end = answer.tokens[span[0]].start, answer.tokens[span[-1]].end
    others = [(cited.start, cited.end) for cited in answer.cited] if phrase.references else []
    if any(start < to and end > at for at, to in [*answer.missing, *others]):
        return False
    if phrase.negative:
        return True
    inside = range(span[0], span[-1] + 1)
    return not any(_denies(answer, at) for at in inside) and not _is_denied(answer, span[0])


def _denies(answer: Passage, at: int) -> bool:
    """Whether the word here is a "not" that is not "not only"."""
    follows = answer.tokens[at + 1].word if at + 1 < len(answer.tokens) else ""
    return answer.tokens[at].stem in {NOT, "neither"} and follows not in _ONLY


def _is_denied(answer: Passage, start: int) -> bool:
    """Whether "not" or the like governs the words from `start` on."""
    clause = answer.tokens[start].clause
    for at in range(start - 1, max(start - 1 - _BACK, -1), -1):
        token = answer.tokens[at]
        if token.clause != clause or token.sentence != answer.tokens[start].sentence:
            return False
        if _denies(answer, at):
            return True
        if token.word in _LINKS or (token.carries and token.stem not in _CARRIED_OVER):
            return False
    return False


def _echoes(phrase: Phrase, span: Sequence[int], answer: Passage, asked: Passage) -> bool:
    """Whether all that carries meaning stands in the question too, and is denied there as here."""
    found = [answer.tokens[at] for at in span if answer.tokens[at].stem != NOT]
    carrying = [token for token in found if token.carries] or found
    if not {token.stem for token in carrying} <= asked.stems:
        return False
    same = [at for token in carrying for at in asked.places(token)]
    return any(_is_denied(asked, at) == phrase.negative for at in same)


def _quotations(word: str, answer: Passage) -> Iterator[str]:
    pattern = rf"(?<!\w)['\"]{re.escape(word)}[,.]?['\"](?!\w)"
    for found in re.finditer(pattern, _straight(answer.text), re.IGNORECASE):
        yield answer.text[found.start() : found.end()]


def _straight(text: str) -> str:
    """The text with straight quotation marks, each letter in its old place."""
    return text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})


def _citations(phrase: Phrase, answer: Passage, asked: Passage) -> Iterator[str]:
    """References of the answer that overlap the phrase's and are not those of the question."""
    for cited in answer.cited:
        if any(cited.reference.overlaps(known.reference) for known in asked.cited):
            continue
        if any(cited.reference.overlaps(wanted) for wanted in phrase.references):
            yield answer.text[cited.start : cited.end]


@lru_cache(maxsize=16_384)
def _read_phrase(text: str) -> Phrase:
    text = unicodedata.normalize("NFC", text).strip()
    quoted = _QUOTED.fullmatch(_straight(text))
    tokens = tuple(tokens_of(text))
    content = tuple(token for token in tokens if token.carries)
    return Phrase(
        text,
        tokens,
        content,
        _references(text),
        quoted["word"] if quoted and len(tokens) == 1 else "",
        any(token.stem in {NOT, "neither"} for token in tokens),
    )


def _references(text: str) -> tuple[Reference, ...]:
    """The references of a phrase that is nothing but references, a bare verse included."""
    if _BARE_VERSE.fullmatch(text):
        reference = read_reference(text)
        return (reference,) if reference else ()
    citations = find_citations(text)
    rest = text
    for citation in reversed(citations):
        rest = rest[: citation.start] + rest[citation.end :]
    if not citations or any(token.carries for token in tokens_of(rest)):
        return ()
    found = [read_reference(citation.reference) for citation in citations]
    return tuple(reference for reference in found if reference is not None)


def _with_book(phrase: Phrase, known: Sequence[Cited]) -> Phrase:
    """A bare "4:129" given the book of what is cited there, where that is known."""
    if not any(not reference.name for reference in phrase.references):
        return phrase
    [bare] = phrase.references
    books = dict.fromkeys(c.reference.name for c in known if c.reference.overlaps(bare))
    named = tuple(bare._replace(name=book) for book in books)
    return phrase._replace(references=named or phrase.references)
