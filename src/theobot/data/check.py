"""Check a data file: everything that is wrong with its rows, and what it is made of.

Format -> length in tokens -> wording -> scripture -> metadata -> repetitions. Leaks into benchmark
questions are found by `bench.leaks`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.config import TokenSettings
from theobot.curriculum.shares import count_religions
from theobot.data.citations import check_citations
from theobot.data.dataset import summarise
from theobot.data.examples import Example, find_problems
from theobot.data.findings import Finding, Severity, error, warning
from theobot.data.metadata import check_metadata
from theobot.data.similarity import normalise, share_content, shingles, similar_pairs, words_of
from theobot.data.tokens import count_tokens
from theobot.data.wording import check_wording
from theobot.scripture import Citation, find_citations

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BINS = 12
_NOT_OF_FORM = (("meta", "metadata"), ("the question is", "empty"), ("the completion is", "empty"))
"""How sentences begin about rows whose form is sound."""

_LONG = 12
"""Different words from which an answer is long enough to be compared with others."""


class Checked(NamedTuple):
    """What a file holds.

    Args:
        file: its name as it was given.
        examples: the rows that can be read.
        findings: all faults, in the order of the lines.
        summary: counts; empty when no row can be read.
    """

    file: str
    examples: list[Example]
    findings: list[Finding]
    summary: dict[str, Any]

    def count(self, severity: Severity) -> int:
        """How many findings of that severity."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def has_errors(self) -> bool:
        """Whether something must be mended."""
        return self.count(Severity.ERROR) > 0

    def with_findings(self, more: Sequence[Finding]) -> Checked:
        """The same with further findings, all in the order of the lines."""
        return self._replace(findings=_in_order([*self.findings, *more]))

    def as_json(self) -> dict[str, Any]:
        """The same for programs, without the rows."""
        return {
            "file": self.file,
            "errors": self.count(Severity.ERROR),
            "warnings": self.count(Severity.WARNING),
            "findings": [finding._asdict() for finding in self.findings],
            "summary": self.summary,
        }


def check_file(
    source: str | Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    tokens: TokenSettings | None = None,
) -> Checked:
    """Check all rows of a file or Hub dataset.

    Args:
        source: as `read_examples` takes it.
        tokenizer: counts the tokens of each row; without it no row is too long.
        tokens: how rows become tokens.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    examples, problems = find_problems(source)
    findings = [error(*_split(problem)) for problem in problems]
    cited = cited_by(examples)
    findings += check_examples(examples, cited)
    summary = summarise(examples) if examples else {}
    if summary:
        summary["religions"] = count_religions(e.meta.get("religions") or [] for e in examples)
        summary["citations"] = _count_citations(cited)
    if tokenizer is not None and examples:
        too_long, lengths = _check_lengths(examples, tokenizer, tokens or TokenSettings())
        findings += too_long
        summary["tokens"] = lengths
    return Checked(str(source), examples, _in_order(findings), summary)


def cited_by(examples: Sequence[Example]) -> list[list[Citation]]:
    """The scripture that each row's answer cites."""
    return [find_citations(example.completion) for example in examples]


def check_examples(
    examples: Sequence[Example], cited: Sequence[Sequence[Citation]]
) -> list[Finding]:
    """All findings about rows that can be read, except their length in tokens.

    Args:
        examples: the rows.
        cited: see `cited_by`.
    """
    findings: list[Finding] = []
    for example, found in zip(examples, cited, strict=True):
        findings += check_wording(example)
        findings += check_citations(example, found)
        findings += check_metadata(example)
    findings += _repeated(examples)
    findings += _near_duplicates(examples)
    return findings


def _split(problem: str) -> tuple[str, str, str]:
    where, _, message = problem.partition(": ")
    kind = next((kind for begins, kind in _NOT_OF_FORM if message.startswith(begins)), "format")
    return where, kind, message


def _in_order(findings: list[Finding]) -> list[Finding]:
    def place(finding: Finding) -> tuple[int, str]:
        digits = "".join(letter for letter in finding.where.rpartition(":")[2] if letter.isdigit())
        return int(digits or 0), finding.severity

    return sorted(findings, key=place)


def _repeated(examples: Sequence[Example]) -> Iterator[Finding]:
    first: dict[str, Example] = {}
    for example in examples:
        earlier = first.setdefault(normalise(example.question), example)
        if earlier is example:
            continue
        same = normalise(earlier.completion) == normalise(example.completion)
        what = "the same row" if same else "the same question, with another answer,"
        yield warning(
            example.where,
            "repeated",
            f"{what} as {earlier.where}; one of them is enough, or ask something else.",
        )


def _near_duplicates(examples: Sequence[Example]) -> Iterator[Finding]:
    """Questions alike in letters and in content, and long answers alike in words."""
    questions = [example.question for example in examples]
    normal = [normalise(question) for question in questions]
    for left, right, score in similar_pairs([shingles(question) for question in questions]):
        if normal[left] != normal[right] and share_content(questions[left], questions[right]):
            yield _alike(examples[right], examples[left], "question", score)
    answers = [frozenset(words_of(example.completion)) for example in examples]
    long = [words if len(words) >= _LONG else frozenset() for words in answers]
    for left, right, score in similar_pairs(long):
        if normal[left] != normal[right]:
            yield _alike(examples[right], examples[left], "answer", score)


def _alike(example: Example, earlier: Example, what: str, score: float) -> Finding:
    return warning(
        example.where,
        "near_duplicate",
        f"its {what} is nearly that of {earlier.where} (likeness {score:.2f}).",
    )


def _count_citations(cited: Sequence[Sequence[Citation]]) -> dict[str, int]:
    counts = Counter(citation.corpus for found in cited for citation in found)
    return dict(sorted(counts.items()))


def _check_lengths(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, tokens: TokenSettings
) -> tuple[list[Finding], dict[str, int]]:
    """Rows over the limit, and how many rows there are in each span of lengths."""
    lengths = count_tokens(examples, tokenizer, tokens)
    findings = [
        error(
            example.where,
            "too_long",
            f"{length} tokens; at most {tokens.max_length} fit (--tokens.max-length). Shorten it, "
            "or raise the limit.",
        )
        for example, length in zip(examples, lengths, strict=True)
        if length > tokens.max_length
    ]
    return findings, _histogram(lengths)


def _histogram(lengths: Sequence[int]) -> dict[str, int]:
    """Lengths in at most twelve spans of one round width."""
    width = next(w for w in _widths() if max(lengths) < w * _BINS)
    counts: dict[int, int] = defaultdict(int)
    for length in lengths:
        counts[length // width] += 1
    return {
        f"{span * width}-{span * width + width - 1}": counts[span]
        for span in range(min(counts), max(counts) + 1)
    }


def _widths() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
