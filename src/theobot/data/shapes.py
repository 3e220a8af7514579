"""Rows of other shapes (chat, Alpaca, question and answer) -> rows of the seed's shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from theobot.data.examples import from_messages
from theobot.data.prompt import Turn, render_prompt

QUESTION_COLUMNS = {"prompt": "completion", "instruction": "output", "question": "answer"}
"""The column that is asked, and the one that answers it."""


class Shaped(NamedTuple):
    """A row of the seed's shape.

    Args:
        row: prompt, completion and what else the row holds; empty when there is a problem.
        change: how it was changed; empty when it was not.
        problem: why it cannot be brought into that shape.
    """

    row: dict[str, Any]
    change: str = ""
    problem: str = ""


def to_seed(row: Mapping[str, Any]) -> Shaped:
    """Bring one row into the seed's shape; keys that have no place there go into `meta`."""
    if "prompt" in row:
        return _framed(row)
    if "messages" in row:
        return _from_chat(row)
    for question, answer in QUESTION_COLUMNS.items():
        if question in row:
            return _from_pair(row, question, answer)
    found = ", ".join(map(str, row)) or "none"
    return Shaped({}, "", f"no prompt, messages, instruction or question (found keys: {found})")


def _not_a_text(row: Mapping[str, Any], *keys: str) -> str:
    lacking = [key for key in keys if key not in row]
    if lacking:
        return f"lacks {' and '.join(lacking)}; cut off?"
    wrong = [key for key in keys if not isinstance(row[key], str)]
    return f"{' and '.join(wrong)}: a text was expected" if wrong else ""


def _framed(row: Mapping[str, Any]) -> Shaped:
    r"""A prompt between "User: " and "\nAssistant:"."""
    if problem := _not_a_text(row, "prompt", "completion"):
        return Shaped({}, "", problem)
    prompt: str = row["prompt"]
    if _is_framed(prompt):
        return Shaped(dict(row))
    if '\nAssistant:"' in prompt:
        return Shaped({}, "", 'the prompt goes on after its "Assistant:"')
    if not prompt.startswith("User:"):
        framed = f"User: {prompt}"
    else:
        framed = prompt if prompt.startswith("User: ") else f"User: {prompt[5:]}"
    if framed.rstrip().endswith("\nAssistant:"):
        framed = framed.rstrip()
    elif not framed.rstrip().endswith("Assistant:"):
        framed = f"{framed}\nAssistant:"
    if not _is_framed(framed):
        return Shaped({}, "", 'the prompt ends in "Assistant:" without a new line before it')
    return Shaped({**row, "prompt": framed}, 'prompt put between "User: " and "\\nAssistant:"')


def _is_framed(prompt: str) -> bool:
    return prompt.startswith("User: ") and prompt.endswith("\nAssistant:")


def _from_chat(row: Mapping[str, Any]) -> Shaped:
    found = from_messages(dict(row))
    if "problem" in found:
        return Shaped({}, "", str(found["problem"]).rstrip("."))
    shaped = {"prompt": found["prompt"], "completion": found["completion"]}
    return Shaped({**shaped, **_rest(row, "messages")}, "chat messages")


def _from_pair(row: Mapping[str, Any], question: str, answer: str) -> Shaped:
    """An Alpaca row, whose input stands below its instruction, or a question and its answer."""
    optional = [k for k in ("input", "system") if question == "instruction" and row.get(k)]
    if problem := _not_a_text(row, question, answer, *optional):
        return Shaped({}, "", problem)
    asked = "\n\n".join([row[question], *(row[key] for key in optional if key == "input")])
    turns = [Turn("user", asked)]
    if "system" in optional:
        turns.insert(0, Turn("system", row["system"]))
    used = (question, answer, *(("input", "system") if question == "instruction" else ()))
    shaped = {"prompt": render_prompt(turns, "seed"), "completion": row[answer]}
    return Shaped({**shaped, **_rest(row, *used)}, f"{question} and {answer}")


def _rest(row: Mapping[str, Any], *used: str) -> dict[str, Any]:
    """The row's `meta`, with its further keys."""
    further = {key: value for key, value in row.items() if key not in (*used, "meta")}
    meta = row.get("meta")
    if not further:
        return {} if meta is None else {"meta": meta}
    if not isinstance(meta, dict):
        meta = {} if meta is None else {"meta": meta}
    return {"meta": {**further, **meta}}


def from_cells(columns: list[str], cells: list[str]) -> dict[str, Any]:
    """One record of a table: the columns that make an example, all others as `meta`."""
    row: dict[str, Any] = dict(zip(columns, cells, strict=True))
    asked = next(name for name in QUESTION_COLUMNS if name in row)
    known = {asked, QUESTION_COLUMNS[asked], "meta"}
    known |= {"input", "system"} if asked == "instruction" else set()
    if "meta" in row:
        row["meta"] = _meta_of_cell(row["meta"])
    own = {key: value for key, value in row.items() if key in known and value is not None}
    further = {key: value for key, value in row.items() if key not in known}
    return {**own, **_rest({**further, "meta": own.get("meta")})} if further else own


def _meta_of_cell(cell: str) -> Any:
    """An object written into a cell; another text becomes an object of its own."""
    if not cell:
        return None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return {"meta": cell}
    return value if isinstance(value, dict) else {"meta": cell}
