"""Raw rows -> `Example(prompt, completion)`; every problem is reported at once as file:line.

Accepted: JSONL in the seed's format, JSONL with chat-style `messages`, and through `datasets`
also CSV, Parquet and Hub dataset ids with the same column names.
"""

from __future__ import annotations

import datetime
import glob
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from theobot.data.escapes import is_text
from theobot.data.prompt import Role, Turn, parse_prompt, render_prompt
from theobot.data.strict_json import UnsureError, read_strict
from theobot.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

EXPECTED = '{"prompt": "User: <question>\\nAssistant:", "completion": "<answer>"}'

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TABLES = {".csv": "csv", ".parquet": "parquet"}
_MOST_SHOWN = 20

_META_KINDS: tuple[tuple[tuple[str, ...], type, str], ...] = (
    (("theme", "qtype", "topic", "cluster"), str, "a text"),
    (("religions", "traditions", "views"), list, "a list"),
    (("marks",), int, "a whole number"),
)
_LISTS_OF_TEXTS = ("religions", "traditions")


class Example(NamedTuple):
    """One row: what the model reads, what it learns to answer, and where the row stands."""

    prompt: str
    completion: str
    meta: dict[str, Any]
    where: str

    @property
    def question(self) -> str:
        """The turns of the prompt without their marks; of a single question its text."""
        turns = parse_prompt(self.prompt)
        return "\n".join(turn.text for turn in turns) if turns else self.prompt


def read_examples(source: str | Path) -> list[Example]:
    """Read all rows of a file or Hub dataset.

    Raises:
        DataError: with every problem found (the first 20 when there are many).
    """
    examples, problems = find_problems(source)
    if problems:
        shown = problems[:_MOST_SHOWN]
        if len(problems) > _MOST_SHOWN:
            more = len(problems) - _MOST_SHOWN
            shown.append(f"... and {more} more: `theobot data check {source}` lists them all.")
        raise DataError(shown)
    return examples


def find_problems(source: str | Path) -> tuple[list[Example], list[str]]:
    """Read all rows; give the good ones and one sentence for each of the others.

    Raises:
        DataError: the file or dataset as a whole cannot be read.
    """
    examples: list[Example] = []
    problems: list[str] = []
    for where, row in _read_rows(str(source)):
        if isinstance(row, str):
            problems.append(f"{where}: {row}")
            continue
        found = _example(row, where)
        if isinstance(found, Example):
            examples.append(found)
        else:
            problems.extend(f"{where}: {problem}" for problem in found)
    if not examples and not problems:
        raise DataError(f"{source}: holds no rows. Each line must be {EXPECTED}.")
    return examples, problems


def _read_rows(source: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    path = Path(source).expanduser()
    if path.is_dir():
        raise DataError(f"{source}: is a folder; a .jsonl, .csv or .parquet file was expected.")
    if path.is_file():
        kind = _TABLES.get(path.suffix.lower())
        return _read_table(path, kind) if kind else _read_jsonl(path)
    if _HUB_ID.fullmatch(source) and path.suffix not in {*_TABLES, ".jsonl", ".json"}:
        return _read_hub(source)
    raise DataError(
        f"{source}: no such file. Type the path of a .jsonl, .csv or .parquet file, "
        "or a Hub dataset id such as owner/name."
    )


def _read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path.name}:{number}", _parse_line(line)


def _parse_line(line: bytes) -> dict[str, Any] | str:
    try:
        row = read_strict(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1}). Save the file as UTF-8."
    except json.JSONDecodeError as error:
        return (
            f"not valid JSON at character {error.pos + 1}: {error.msg}. Each line must be one "
            f'object {EXPECTED}; a double quote inside a text is written \\".'
        )
    except UnsureError as error:
        return f"not valid JSON: {error}. Each line must be one object {EXPECTED}."
    except RecursionError:
        return f"not valid JSON: too deeply nested. Each line must be one object {EXPECTED}."
    except ValueError:
        return f"not valid JSON: a number has too many digits. Expected an object {EXPECTED}."
    if not isinstance(row, dict):
        return f"found {_kind(row)}; expected an object {EXPECTED}."
    return row


def _quiet_datasets() -> Any:
    """The library, without bars, and without lines about what its errors tell too."""
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    return datasets


def _read_table(path: Path, kind: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    datasets = _quiet_datasets()
    try:
        # The cache would otherwise grow by a copy of the file with each change of it.
        with tempfile.TemporaryDirectory() as cache:
            table = datasets.load_dataset(
                kind,
                data_files=glob.escape(str(path)),
                split="train",
                cache_dir=cache,
                keep_in_memory=True,
            )
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise DataError(f"{path}: cannot be read as {kind.upper()}: {_root(error)}.") from None
    return _number_rows(table, path.name)


def _read_hub(name: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    datasets = _quiet_datasets()
    try:
        table = datasets.load_dataset(name, split="train")
    except Exception as error:  # the Hub client raises many kinds; all mean the same to a person
        raise DataError(
            f"{name}: no such file, and it could not be loaded as a Hub dataset "
            f"({_root(error)}). Check the spelling and the network."
        ) from None
    return _number_rows(table, name)


def _number_rows(table: Dataset, name: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    for index in range(len(table)):
        where = f"{name}:row {index + 1}"
        try:
            row = table[index]
        except UnicodeDecodeError as error:  # Parquet's texts are octets, which nobody checked.
            yield where, f"holds text that is not UTF-8 (byte {error.start + 1} of it)."
            continue
        meta = row.get("meta")
        if isinstance(meta, dict):
            row = {**row, "meta": {key: _date_as_text(value) for key, value in meta.items()}}
        yield where, row


def _date_as_text(value: Any) -> Any:
    """A column of dates, which JSON has no word for, as JSONL would hold it: "2024-01-31"."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()).rstrip(".")


def _example(row: dict[str, Any], where: str) -> Example | list[str]:
    if "messages" in row:
        row = from_messages(row)
    if isinstance(row.get("problem"), str):
        return [row["problem"]]
    missing = [key for key in ("prompt", "completion") if key not in row]
    if missing:
        found = ", ".join(sorted(row)) or "none"
        return [f"lacks {' and '.join(missing)} (found keys: {found}). Expected {EXPECTED}."]
    problems = [
        f"{key} is {_kind(row[key])}; a text was expected."
        for key in ("prompt", "completion")
        if not isinstance(row[key], str)
    ]
    meta = row.get("meta") or {}
    if not isinstance(meta, dict):
        problems.append(f"meta is {_kind(meta)}; an object was expected.")
    else:
        problems += _meta_problems(meta)
    if problems:
        return problems
    problems = text_problems(row["prompt"], row["completion"])
    return problems or Example(row["prompt"], row["completion"], meta, where)


def _meta_problems(meta: dict[str, Any]) -> list[str]:
    """Entries that something here works with; others may be anything that can be written."""
    problems = []
    for names, kind, words in _META_KINDS:
        for key in names:
            value = meta.get(key)
            if value is not None and not isinstance(value, kind):
                problems.append(f"meta.{key} is {_kind(value)}; {words} was expected.")
            elif isinstance(value, list) and kind is list and key in _LISTS_OF_TEXTS:
                odd = next((one for one in value if not isinstance(one, str)), None)
                if odd is not None or None in value:
                    problems.append(f"meta.{key} holds {_kind(odd)}; only texts were expected.")
    try:
        json.dumps(meta, ensure_ascii=False, default=_unwritable).encode()
    except _UnwritableError as error:
        problems.append(f"meta holds {error}; expected what JSON can hold. Write it as a text.")
    except (UnicodeEncodeError, RecursionError):
        problems.append("meta holds half of a surrogate pair, or too many lists in lists.")
    return problems


class _UnwritableError(TypeError):
    """A value of a table that JSON has no word for."""


def _unwritable(value: object) -> NoReturn:
    raise _UnwritableError(f"the {type(value).__name__} {value!s:.60}")


def text_problems(prompt: str, completion: str) -> list[str]:
    """What is wrong with the two texts of a row, a sentence each; none: it can be learned."""
    problems = []
    turns = parse_prompt(prompt)
    if turns is None:
        problems.append(
            f'prompt is {_short(prompt)}; expected "User: <question>\\nAssistant:" (one space '
            'after "User:", nothing after "Assistant:").'
        )
    elif not all(turn.text.strip() for turn in turns):
        problems.append("the question is empty; write one after User: or remove the row.")
    if not completion.strip():
        problems.append("the completion is empty; write an answer or remove the row.")
    if not (is_text(prompt) and is_text(completion)):
        problems.append("holds half of a surrogate pair (\\ud800 to \\udfff); retype that letter.")
    return problems


def from_messages(row: dict[str, Any]) -> dict[str, Any]:
    """Turn chat-style `messages` into prompt and completion, or into one `problem`."""
    messages = row["messages"]
    expected = "expected a list of {role, content} that ends with user, assistant"
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        return {"problem": f"messages is {_kind(messages)}; {expected}."}
    turns = []
    for item in messages:
        role, content = item.get("role"), item.get("content")
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            return {"problem": f"a message has role {role!r}; {expected}, each with a text."}
        known: Role = role
        turns.append(Turn(known, content))
    roles = [turn.role for turn in turns if turn.role != "system"]
    if len(roles) < 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        return {"problem": f"messages has the roles {', '.join(roles) or 'none'}; {expected}."}
    prompt = render_prompt(turns[:-1], "seed")
    return {"prompt": prompt, "completion": turns[-1].text, "meta": row.get("meta")}


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a true/false value"}
    if value is None:
        return "empty (null)"
    return kinds.get(type(value), f"the number {value}")


def _short(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}...", ensure_ascii=False)
