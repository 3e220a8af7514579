"""Every question answered by both arms, appended to `answers.jsonl` as it is written.

Answers are kept by what decides them: base, adapter bytes, prompts, caps, decoding. Asked under
other conditions, a folder's answers are set aside as `answers-<key>.jsonl`, and found again when
those conditions come back; no adapter is ever served another's answers.

The store can be cut off at any moment. Which questions share a batch follows from the list of
questions alone, and records are appended in the planned order; so a store is always a beginning
of the finished one, a broken-off batch is answered again as a whole, and the finished file has the
same bytes as that of an undisturbed run.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, count
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from theobot.bench.questions import Question
from theobot.bench.rival import BASE, Rival, rival_of
from theobot.config import PromptFormat
from theobot.data.prompt import Turn
from theobot.errors import RunError
from theobot.generation.generator import Answer, Arm, Generator, StopReason
from theobot.model import ranks
from theobot.run_folder import explain_write_errors

ANSWERS = "answers.jsonl"
ANSWERS_OF_ANY = "answers*.jsonl"
"""Stores of any conditions: the current one, those set aside, and parts of several processes."""
_PARTS = "answers.part-*.jsonl"
BATCH_SIZE = 64
"""Questions between two writes to the store; how many are computed at once is up to memory."""

_SENTENCES_CAP = 192
_CAPS = ((1, 32), (4, _SENTENCES_CAP), (6, 384))
_LARGEST_CAP = 768


class AnswerRecord(NamedTuple):
    """One line of the store: a question, who answered it, under which conditions, and how.

    `against_sha256` is of the adapter with which the arm "base" answers, where two are compared;
    `plan` is a hash of all planned questions and conditions, `check` a checksum of all the others;
    the rest is that of an `Answer`.
    """

    id: str
    set: str
    question: str
    arm: Arm
    prompt_format: PromptFormat
    prompt_sha256: str
    max_new_tokens: int
    text: str
    stop_reason: StopReason
    new_tokens: int | None
    model: str
    adapter_sha256: str | None
    adapter_config_sha256: str | None
    decoding: dict[str, Any]
    plan: str
    against_sha256: str | None = None
    check: str | None = None


_RECORD = TypeAdapter(AnswerRecord)


class Batch(NamedTuple):
    """Questions answered together by both arms.

    Args:
        formats: the arms, and in which prompt format each is asked.
        questions: the questions.
        expected: the records without their outcomes: of each question, one for each arm.
    """

    formats: dict[Arm, PromptFormat]
    questions: tuple[Question, ...]
    expected: tuple[dict[str, Any], ...]


class Progress(NamedTuple):
    """How many answers are in the store, of how many."""

    done: int
    total: int


def cap_for(question: Question) -> int:
    """Most new tokens by tariff: 32 / 192 / 384 / 768 for 1 / 2-4 / 5-6 / more marks.

    Long enough that a full answer is not cut. A question without a tariff gets 192, and so does
    a definition, which is worth one mark but takes a sentence.
    """
    marks = question.marks
    if marks is None or (marks == 1 and question.meta.get("qtype") == "define"):
        return _SENTENCES_CAP
    return next((cap for most, cap in _CAPS if marks <= most), _LARGEST_CAP)


def plan_answers(
    generator: Generator,
    questions: Sequence[Question],
    *,
    same_prompt: bool = False,
    batch_size: int = BATCH_SIZE,
) -> list[Batch]:
    """Fix batches, prompts and caps before anything is answered.

    Questions of equal cap and similar length share a batch, so that no row waits long for
    another; the longest come first, so that what does not fit into memory fails at once.

    Args:
        generator: who will answer.
        questions: all of them, in any number.
        same_prompt: both arms get the seed's raw prompt instead of each its own format.
        batch_size: questions per batch.
    """
    order = sorted(questions, key=lambda q: (-cap_for(q), -len(q.text), q.id))
    formats: dict[Arm, PromptFormat] = {
        arm: "seed" if same_prompt else generator.formats[arm] for arm in generator.arms
    }
    about = generator.describe()
    about["decoding"] = {**about["decoding"], "batch_size": batch_size}
    batches = []
    for start in range(0, len(order), batch_size):
        group = tuple(order[start : start + batch_size])
        expected = tuple(
            _expected(generator, question, arm, chosen) | about
            for question in group
            for arm, chosen in formats.items()
        )
        batches.append(Batch(formats, group, expected))
    everything = json.dumps([batch.expected for batch in batches], ensure_ascii=False)
    plan = hashlib.sha256(everything.encode()).hexdigest()
    return [
        batch._replace(expected=tuple(record | {"plan": plan} for record in batch.expected))
        for batch in batches
    ]


def open_store(
    folder: Path, batches: Sequence[Batch], on_note: Callable[[str], None] = lambda text: None
) -> Path:
    """The store for these conditions; one of others is set aside, and one set aside found again.

    A damaged one becomes a part file: `answer_questions` takes what is sound from there.

    Args:
        folder: of the benchmark.
        batches: from `plan_answers`.
        on_note: told of damage.

    Raises:
        RunError: the store cannot be read or moved.
    """
    store = folder / ANSWERS
    wanted = batches[0].expected[0]["plan"] if batches else ""
    with explain_write_errors(store):
        plan = next((row["plan"] for row in _read_lines(store) if row), wanted)
        if plan != wanted:
            store.replace(_aside(folder, plan))
        if not store.exists() and _aside(folder, wanted).exists():
            _aside(folder, wanted).replace(store)
        rows = _read_lines(store)
        if None in rows:
            on_note(f"{_damage(store, rows.index(None) + 1)} The sound answers are kept.")
            store.replace(_free_part(folder))
    return store


def _free_part(folder: Path) -> Path:
    numbers = (folder / _PARTS.replace("*", f"damaged-{n}") for n in count(1))
    return next(path for path in numbers if not path.exists())


def _aside(folder: Path, plan: str) -> Path:
    return folder / f"answers-{plan[:12]}.jsonl"


def answer_questions(
    generator: Generator, batches: Sequence[Batch], store: Path
) -> Iterator[Progress]:
    """Answer what the store lacks; yields the count before the first batch and after each.

    What several processes have left in part files is taken from there, and these are removed.

    Raises:
        RunError: the store was made under other conditions, is damaged, or cannot be written.
    """
    total = sum(len(batch.expected) for batch in batches)
    done = _open_store(store, batches)
    parts = _read_parts(store)
    yield Progress(done, total)
    start = 0
    for batch in batches:
        have = min(max(done - start, 0), len(batch.expected))
        start += len(batch.expected)
        if have == len(batch.expected):
            continue
        lines = _from_parts(batch, parts) or _answer_batch(generator, batch)
        append_lines(store, lines[have:])
        done = start
        yield Progress(done, total)
    with explain_write_errors(store):
        for path in store.parent.glob(_PARTS):
            path.unlink()


def answer_share(generator: Generator, batches: Sequence[Batch], store: Path) -> Iterator[Progress]:
    """Answer this process's share of what is lacking, into a part file of its own.

    Every process of the run must call it. `answer_questions` then puts the parts together, in the
    order and with the bytes of a process that answered alone. Yields the share's own count.

    Raises:
        RunError: as in `answer_questions`; or another process failed.
    """
    done, parts = _open_store(store, batches), _read_parts(store)
    ends = list(accumulate(len(batch.expected) for batch in batches))
    lacking = [
        batch
        for batch, end in zip(batches, ends, strict=True)
        if end > done and not _from_parts(batch, parts)
    ]
    mine = lacking[ranks.rank() :: ranks.world_size()]
    part = store.with_name(_PARTS.replace("*", str(ranks.rank())))
    ranks.gathered(None)  # Nobody writes before all have read.
    with ranks.together():
        cut_half_line(part)
        for count, batch in enumerate(mine):
            yield Progress(count, len(mine))
            append_lines(part, _answer_batch(generator, batch))
        yield Progress(len(mine), len(mine))


def _answer_batch(generator: Generator, batch: Batch) -> list[str]:
    """A batch's lines of the store."""
    answers = generator.answer_pairs(
        [[Turn("user", question.text)] for question in batch.questions],
        formats=batch.formats,
        max_new_tokens=[cap_for(question) for question in batch.questions],
    )
    given = [answer[arm] for answer in answers for arm in batch.formats]
    return [_line(r, a) for r, a in zip(batch.expected, given, strict=True)]


def _read_parts(store: Path) -> dict[tuple[str, Arm], dict[str, Any]]:
    """Sound records of all part files; what is damaged there is answered again."""
    found = {}
    for path in sorted(store.parent.glob(_PARTS)):
        for row in _read_lines(path):
            if row is not None:
                found[row["id"], row["arm"]] = row
    return found


def _from_parts(batch: Batch, parts: Mapping[tuple[str, Arm], dict[str, Any]]) -> list[str] | None:
    """A batch's lines, if all its records are in the parts and were made as planned now."""
    rows = [parts.get((wanted["id"], wanted["arm"]), {}) for wanted in batch.expected]
    for row, wanted in zip(rows, batch.expected, strict=True):
        if any(key not in row or row[key] != value for key, value in wanted.items()):
            return None
    return [_as_line(row) for row in rows]


def read_answers(store: Path) -> list[AnswerRecord]:
    """All whole records of a store, in the order of answering.

    Raises:
        RunError: no store, or a damaged one.
    """
    return [AnswerRecord(**row) for row in _rows(store, _read(store))]


def text_hash(text: str) -> str:
    """SHA-256 of an answer, by which marks know that it is still the same."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def rival_of_records(records: Iterable[AnswerRecord]) -> Rival:
    """What Theobot was compared with; the base where there is no answer yet."""
    first = next(iter(records), None)
    return BASE if first is None else rival_of(first._asdict())


def _expected(
    generator: Generator, question: Question, arm: Arm, prompt_format: PromptFormat
) -> dict[str, Any]:
    prompt = generator.render([Turn("user", question.text)], arm, prompt_format)
    return {
        "id": question.id,
        "set": question.set,
        "question": question.text,
        "arm": arm,
        "prompt_format": prompt_format,
        "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
        "max_new_tokens": cap_for(question),
    }


def _line(expected: dict[str, Any], answer: Answer) -> str:
    # Through the tuple, so that the keys stand in one order whatever order they came in.
    return _as_line({**expected, **answer._asdict()})


def _as_line(row: Mapping[str, Any]) -> str:
    values = AnswerRecord(**row)._asdict()
    return json.dumps(values | {"check": _checksum(values)}, ensure_ascii=False) + "\n"


def _checksum(row: Mapping[str, Any]) -> str:
    """By which a line knows that the disk gave back what was written."""
    told = json.dumps([row[name] for name in AnswerRecord._fields if name != "check"])
    return f"{zlib.crc32(told.encode()):08x}"


def append_lines(store: Path, lines: Sequence[str]) -> None:
    """Append lines and see that they reach the disk."""
    with explain_write_errors(store), store.open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())


def _open_store(store: Path, batches: Sequence[Batch]) -> int:
    """Cut off a half-written last line and count the records; refuse a store of another plan."""
    if not store.exists():
        return 0
    raw = _read(store)
    rows = _rows(store, raw)
    expected = [record for batch in batches for record in batch.expected]
    if len(rows) > len(expected):
        raise RunError(_refusal(store, ["questions"]))
    for row, wanted in zip(rows, expected, strict=False):
        changed = [key for key, value in wanted.items() if row[key] != value]
        if changed:
            raise RunError(_refusal(store, changed))
    cut_half_line(store)
    return len(rows)


def cut_half_line(path: Path) -> None:
    """Remove what a killed process left behind the last whole line."""
    raw = _read(path) if path.exists() else b""
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        with explain_write_errors(path):
            os.truncate(path, whole)


def _read(store: Path) -> bytes:
    try:
        return store.read_bytes()
    except OSError as error:
        raise RunError(
            f"{store}: cannot be read: {error.strerror}. `theobot bench` makes it."
        ) from None


def _rows(store: Path, raw: bytes) -> list[dict[str, Any]]:
    """Records of all lines that end; the rest of a cut last line does not count."""
    rows = []
    for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
        row = _sound(line)
        if row is None:
            raise RunError(
                f"{_damage(store, number)} Type the `theobot bench` command again: it keeps the "
                "sound answers and makes the others anew."
            )
        rows.append(row)
    return rows


def _read_lines(store: Path) -> list[dict[str, Any] | None]:
    """Records of all lines that end, None for a damaged one; nothing if there is no file."""
    raw = _read(store) if store.exists() else b""
    return [_sound(line) for line in raw.split(b"\n")[:-1]]


def _damage(store: Path, line: int) -> str:
    return f"{store}:{line}: damaged (no record of this version of Theobot, or not what was saved)."


def _sound(line: bytes) -> dict[str, Any] | None:
    """A line as a record's entries, or None."""
    if not line.lstrip().startswith(b"{"):  # A list would be read as well.
        return None
    try:
        # Stores of earlier versions lack what has a default.
        row = _RECORD.validate_json(line, strict=True)._asdict()
    except ValidationError:
        return None
    return row if row["check"] in (None, _checksum(row)) else None


_CONDITIONS = {
    "model": "another base model",
    "adapter_sha256": "another adapter",
    "adapter_config_sha256": "another adapter",
    "against_sha256": "another adapter to compare with",
    "decoding": "another device, number format, batch size, server or way of decoding",
    "prompt_format": "other prompt formats",
}


def _refusal(store: Path, changed: Sequence[str]) -> str:
    """Name what differs; unless it is one of the conditions, it is the list of questions."""
    made = [text for key, text in _CONDITIONS.items() if key in changed]
    if not made and "prompt_sha256" in changed and "question" not in changed:
        made = ["another prompt template"]
    named = " and ".join(dict.fromkeys(made)) or "other questions or tariffs"
    return (
        f"{store}: holds answers made with {named}. Choose another folder with -o, or delete "
        "this file to start again; nothing was changed."
    )
