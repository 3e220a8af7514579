"""The question sets: one question per line, with mark schemes beside them where known.

`in_domain_questions.txt`, `near_domain_questions.txt` and `out_of_domain_questions.txt` hold one
question per line; blank lines and lines that begin with # do not count. `trap_questions.txt`, if
there is one, holds questions with something false in them, which are reported apart.
`references.jsonl`, if there is one, gives questions their stable id, reference answer and mark
scheme; it is matched by the question's text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from theobot.bench.question_meta import first_problem, marks_problem, meta_problems
from theobot.errors import DataError

SETS = ("in_domain", "near_domain", "out_of_domain")
TRAPS = "trap"
"""The set that a folder may have besides."""
SIDECAR = "references.jsonl"

_BOM = b"\xef\xbb\xbf"


class Question(NamedTuple):
    """One question of a set.

    `meta` holds what else the sidecar says: theme, topic, qtype, cluster, religions, cites,
    expected and key_points.
    """

    id: str
    set: str
    text: str
    marks: int | None
    reference: str | None
    meta: dict[str, Any]


_SAVED = TypeAdapter(Question)


class _Line(NamedTuple):
    set: str
    text: str
    where: str


def shipped_questions() -> Path:
    """Folder of the question sets that come with Theobot."""
    return Path(str(files("theobot") / "curriculum" / "questions"))


def read_questions(folder: Path | None = None, limit: int | None = None) -> list[Question]:
    """Read the sets, in their files' order.

    Args:
        folder: where the files lie; by default the shipped sets.
        limit: most questions per set, spread over themes and question types; None takes all.

    Raises:
        DataError: with every problem found, as file:line.
    """
    place = (folder or shipped_questions()).expanduser()
    problems: list[str] = []
    names = [*SETS, TRAPS] if (place / f"{TRAPS}_questions.txt").exists() else SETS
    lines = [
        line
        for name in names
        for line in _read_file(place / f"{name}_questions.txt", name, problems)
    ]
    known: dict[str, _Line] = {}
    for line in lines:
        earlier = known.setdefault(normalise(line.text), line)
        if earlier is not line:
            problems.append(
                f"{line.where}: the same question as in {earlier.where}; remove one of them."
            )
    entries = _read_sidecar(place / SIDECAR, known, problems)
    if problems:
        raise DataError(problems)
    questions = [_question(line, entries.get(normalise(line.text))) for line in lines]
    return questions if limit is None else spread(questions, limit)


def parse_saved_questions(text: str) -> list[Question]:
    """Questions as a benchmark writes them, one a line.

    Raises:
        ValueError: a line is none; says which and why.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            question = _SAVED.validate_json(line, strict=True)
        except ValidationError as error:
            raise ValueError(f"line {number}: {first_problem(error)}") from None
        problems = meta_problems(question.meta)
        problems += [problem] if (problem := marks_problem(question.marks)) else []
        if problems:
            raise ValueError(f"line {number}: {problems[0].rstrip('.')}")
        found.append(question)
    return found


def read_set(path: Path) -> list[Question]:
    """Read one question file alone, with what a sidecar beside it says of its questions.

    Raises:
        DataError: the file cannot be read, or holds no question.
    """
    name = path.name.removesuffix(".txt").removesuffix("_questions")
    problems: list[str] = []
    lines = _read_file(path, name, problems)
    if problems:
        raise DataError(problems)
    known = {normalise(line.text): line for line in lines}
    # The sidecar may know questions of other files too; what is said of them does not matter here.
    entries = _read_sidecar(path.parent / SIDECAR, known, [])
    return [_question(line, entries.get(normalise(line.text))) for line in lines]


def normalise(text: str) -> str:
    """The text by which questions are compared: one space between words, capitals ignored."""
    return " ".join(text.split()).casefold()


def spread(questions: Sequence[Question], limit: int) -> list[Question]:
    """At most `limit` questions of each set, spread over themes, then over question types.

    Each theme begins with another question type, so that a small limit is not all definitions.
    The choice depends on nothing but the list; the order stays. A smaller limit takes a part of
    what a larger one takes.
    """
    chosen: set[str] = set()
    for name in dict.fromkeys(question.set for question in questions):
        of_set = [question for question in questions if question.set == name]
        themes = [_rotated(group, by) for by, group in enumerate(_groups(of_set, "theme"))]
        chosen.update(question.id for question in _round_robin(themes)[:limit])
    return [question for question in questions if question.id in chosen]


def _rotated(questions: Sequence[Question], by: int) -> list[Question]:
    """Question types in turn, beginning with the one at place `by`."""
    types = _groups(questions, "qtype")
    first = by % len(types)
    return _round_robin(types[first:] + types[:first])


def _groups(questions: Iterable[Question], key: str) -> list[list[Question]]:
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(str(question.meta.get(key)), []).append(question)
    return list(groups.values())


def _round_robin(groups: Sequence[Sequence[Question]]) -> list[Question]:
    longest = max((len(group) for group in groups), default=0)
    return [group[n] for n in range(longest) for group in groups if n < len(group)]


def _read_file(path: Path, name: str, problems: list[str]) -> list[_Line]:
    lines = []
    for number, text in _read_lines(path, problems):
        if not text.startswith("#"):
            lines.append(_Line(name, text, f"{path}:{number}"))
    if not lines and not any(problem.startswith(str(path)) for problem in problems):
        problems.append(f"{path}: holds no questions; write one per line.")
    return lines


def _read_lines(path: Path, problems: list[str]) -> list[tuple[int, str]]:
    """Numbered lines that are not blank, without the space around them."""
    try:
        raw = path.read_bytes().removeprefix(_BOM)
    except FileNotFoundError:
        problems.append(
            f"{path}: no such file. A question folder holds "
            f"{', '.join(f'{name}_questions.txt' for name in SETS)}, one question per line."
        )
        return []
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}.")
        return []
    lines = []
    for number, line in enumerate(raw.split(b"\n"), start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            at = error.start + 1
            problems.append(f"{path}:{number}: not UTF-8 (byte {at}). Save the file as UTF-8.")
            continue
        if text:
            lines.append((number, text))
    return lines


def _read_sidecar(
    path: Path, known: dict[str, _Line], problems: list[str]
) -> dict[str, dict[str, Any]]:
    """Sidecar entries by normalised question text; no file, no entries."""
    if not path.exists():
        return {}
    entries: dict[str, dict[str, Any]] = {}
    ids: dict[str, str] = {}
    for number, text in _read_lines(path, problems):
        where = f"{path}:{number}"
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.append(f"{where}: not valid JSON: {error}.")
            continue
        found = _entry_problems(entry, known)
        if not found:
            key = normalise(entry["question"])
            if key in entries:
                found.append("this question has an entry already; remove one of them.")
            earlier = ids.setdefault(entry["id"], where)
            if earlier != where:
                found.append(f'id "{entry["id"]}" is taken by {earlier}; give it another.')
            entries[key] = entry
        problems.extend(f"{where}: {problem}" for problem in found)
    return entries


def _entry_problems(entry: object, known: dict[str, _Line]) -> list[str]:
    if not isinstance(entry, dict):
        return ["an object with id, set and question was expected."]
    wrong = [
        f"{key} is {entry.get(key)!r}; a text was expected."
        for key in ("id", "set", "question")
        if not isinstance(entry.get(key), str) or not entry[key].strip()
    ]
    if wrong:
        return wrong
    reference = entry.get("reference")
    wrong += [problem] if (problem := marks_problem(entry.get("marks"))) else []
    if reference is not None and (not isinstance(reference, str) or not reference.strip()):
        wrong.append(f"reference is {reference!r}; a text was expected.")
    wrong += meta_problems(_meta_of(entry))
    line = known.get(normalise(entry["question"]))
    if line is None:
        wrong.append("its question stands in none of the question files.")
    elif line.set != entry["set"]:
        wrong.append(f"set is {entry['set']!r}, but the question stands in {line.where}.")
    return wrong


def _question(line: _Line, entry: dict[str, Any] | None) -> Question:
    if entry is None:
        digest = hashlib.sha256(normalise(line.text).encode()).hexdigest()
        return Question(f"{line.set}-{digest[:10]}", line.set, line.text, None, None, {})
    return Question(
        entry["id"],
        line.set,
        line.text,
        entry.get("marks"),
        entry.get("reference"),
        _meta_of(entry),
    )


def _meta_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    own = ("id", "set", "question", "marks", "reference")
    return {key: value for key, value in entry.items() if key not in own}
