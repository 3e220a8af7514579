"""Broken data lines with known originals, for the repair's test and benchmark.

`corpus(seed, count)` gives the bytes of a file and what has to come back from each of its defects.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from typing import NamedTuple

Row = dict[str, object]

_SENTENCES = (
    'Jesus said "love your neighbour" in Mark 12:31.',
    '"Blessed are the peacemakers", says Matthew 5:9, and many Christians work for peace.',
    "Muslims call this “zakah”; it is one of the Five Pillars.",
    'The words "sanctity of life", "quality of life" and "dominion": all three matter.',
    'He taught: "Do to others as you would have them do to you."',
    "It isn't the Sikhs' view alone: it's Guru Nanak's.",
    'Some read "eye for eye" as "a limit", others "a duty": the rabbis chose money.',
    "Caf\u00e9 owners may disagree – so do fa\u00e7ade builders.",
    "The Torah {its Hebrew name} lists [613] mitzvot; a/b \\ c.",
    'A "holy" war ("jihad" in the narrow sense), or a "just war"?',
    "First point.\nSecond point.\tThird.",
    'Isaiah wrote "swords into ploughshares"',
    '"Ahimsa" means non-violence',
    'She answered "yes", "no": both.',
    "Shalom \u05e9\u05dc\u05d5\u05dd, Om \u0950, \U0001f54a peace.",
)


class Expected(NamedTuple):
    """What a defect has to become.

    Args:
        defect: its class.
        first: its first line in the file.
        last: its last line.
        rows: rows of the seed's shape that have to come back; None where it must be rejected.
    """

    defect: str
    first: int
    last: int
    rows: list[Row] | None


def text(random: random.Random) -> str:
    """An answer of one to four sentences, with all that makes JSON hard."""
    return " ".join(random.choice(_SENTENCES) for _ in range(random.randint(1, 4)))


def row(random: random.Random) -> Row:
    """A row of the seed's shape, one in three with `meta`."""
    made: Row = {
        "prompt": f"User: {text(random)}\nAssistant:",
        "completion": text(random),
    }
    if random.random() < 0.33:
        made["meta"] = {
            "id": f"A-{random.randint(1, 999):03}",
            "theme": "A",
            "religions": ["Islam"],
        }
    return made


def escaped(value: str, quotes: bool = True) -> str:
    """The inside of a JSON text; without `quotes` its quotation marks stay bare."""
    inside = json.dumps(value, ensure_ascii=False)[1:-1]
    return inside if quotes else inside.replace('\\"', '"')


def unquoted(made: Row, quotes: bool = False, tail: str = "}", comma: str = ", ") -> str:
    """A row whose texts have bare quotation marks."""
    pairs = [
        f'"{key}": '
        + (f'"{escaped(value, quotes)}"' if isinstance(value, str) else json.dumps(value))
        for key, value in made.items()
    ]
    return "{" + comma.join(pairs) + tail


def _some_escaped(random: random.Random, made: Row) -> str:
    pairs = []
    for key, value in made.items():
        if not isinstance(value, str):
            pairs.append(f'"{key}": {json.dumps(value)}')
            continue
        parts = escaped(value).split('\\"')
        joined = parts[0]
        for part in parts[1:]:
            joined += random.choice(['"', '\\"']) + part
        pairs.append(f'"{key}": "{joined}"')
    return "{" + ", ".join(pairs) + "}"


def _control(random: random.Random, made: Row) -> str:
    line = unquoted(made, quotes=True).replace("\\t", "\t")
    return line.replace("\\n", "\n") if random.random() < 0.5 else line


def _stray(random: random.Random, made: Row) -> str:
    quotes = random.random() < 0.5
    junk = random.choice([";", ",", " ; ", "::", "*", " | ", "= ", "\u200b", "--", "#"])
    where = random.randrange(3)
    line = unquoted(made, quotes)
    if where == 0:
        return line.replace('"completion": ', f'"completion":{junk} ', 1)
    if where == 1:
        return line.replace(', "completion"', f' {junk} , "completion"', 1)
    return line.replace('"prompt": ', f'"prompt": {junk}', 1)


def _commas_and_braces(random: random.Random, made: Row) -> str:
    quotes = random.random() < 0.5
    kind = random.randrange(6)
    if kind == 0:
        return unquoted(made, quotes, comma=" ")
    if kind == 1:
        return unquoted(made, quotes, comma=",, ")
    if kind == 2:
        return unquoted(made, quotes, tail=",}")
    if kind == 3:
        return "{" + unquoted(made, quotes=True)
    if kind == 4:
        return unquoted(made, quotes=True) + "}"
    return unquoted(made, quotes)[1:]


def _pretty(random: random.Random, made: Row) -> str:
    pretty = json.dumps(made, indent=random.choice([1, 2, 4]), ensure_ascii=False)
    return pretty.replace('\\"', '"') if random.random() < 0.5 else pretty


def _python(random: random.Random, made: Row) -> str:
    if random.random() < 0.5:
        return repr(made)
    pairs = [
        f"'{key}': " + (f"'{escaped(value)}'" if isinstance(value, str) else repr(value))
        for key, value in made.items()
    ]
    return "{" + ", ".join(pairs) + "}"


def _curly(random: random.Random, made: Row) -> str:
    pairs = [
        f"“{key}”: " + (f"“{escaped(value)}”" if isinstance(value, str) else json.dumps(value))
        for key, value in made.items()
    ]
    return "{" + ", ".join(pairs) + "}"


def _smart(random: random.Random, made: Row) -> str:
    line = unquoted(made, quotes=True)
    kind = random.randrange(3)
    if kind == 0:
        return line.replace("“", "\\“").replace("”", "\\”").replace("'", "\\'")
    if kind == 1:
        return json.dumps(line)
    return line.replace("é", "\\xe9").replace("'", "\\'").replace(" \\\\ ", " \\ ")


_ONE_ROW: dict[str, Callable[[random.Random, Row], str]] = {
    "unescaped quotes": lambda _, made: unquoted(made),
    "some quotes unescaped": _some_escaped,
    "control characters": _control,
    "stray characters": _stray,
    "commas and braces": _commas_and_braces,
    "object on many lines": _pretty,
    "single quotes": _python,
    "curly quotes": _curly,
    "smart escapes": _smart,
    "valid": lambda _, made: json.dumps(made, ensure_ascii=False),
}


def _several(random: random.Random) -> tuple[str, list[Row]]:
    rows = [row(random) for _ in range(random.randint(2, 4))]
    return random.choice(["", " ", ", "]).join(unquoted(made) for made in rows), rows


def _array(random: random.Random) -> tuple[str, list[Row]]:
    rows = [row(random) for _ in range(random.randint(2, 4))]
    if random.random() < 0.5:
        return json.dumps(rows, ensure_ascii=False), rows
    return "[" + ", ".join(unquoted(made) for made in rows) + "]", rows


def _chat(random: random.Random) -> tuple[str, list[Row]]:
    question, answer = text(random), text(random)
    line = json.dumps(
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        },
        ensure_ascii=False,
    )
    if random.random() < 0.5:
        line = line.replace('\\"', '"')
    return line, [{"prompt": f"User: {question}\nAssistant:", "completion": answer}]


def _alpaca(random: random.Random) -> tuple[str, list[Row]]:
    question, given, answer = text(random), random.choice(["", text(random)]), text(random)
    asked = f"{question}\n\n{given}" if given else question
    made: Row = {"instruction": question, "input": given, "output": answer}
    return unquoted(made, random.random() < 0.5), [
        {"prompt": f"User: {asked}\nAssistant:", "completion": answer}
    ]


def _question(random: random.Random) -> tuple[str, list[Row]]:
    made: Row = {"question": text(random), "answer": text(random)}
    want: Row = {"prompt": f"User: {made['question']}\nAssistant:", "completion": made["answer"]}
    return unquoted(made, random.random() < 0.5), [want]


_MORE: dict[str, Callable[[random.Random], tuple[str, list[Row]]]] = {
    "several on one line": _several,
    "array on one line": _array,
    "messages": _chat,
    "instruction": _alpaca,
    "question": _question,
}


def _cut(random: random.Random, made: Row) -> str:
    """A line that ends before its completion does."""
    line = unquoted(made, random.random() < 0.5)
    begin = line.index('"completion": "') + len('"completion": "')
    end = begin + len(escaped(str(made["completion"]), quotes=False))
    return line[: random.randint(len('{"prompt": "User: '), end - 1)]


def _one(random: random.Random) -> tuple[str, str, list[Row] | None]:
    kind = random.choice([*_ONE_ROW, *_MORE, "cut off"])
    if kind in _MORE:
        line, rows = _MORE[kind](random)
        return kind, line, rows
    made = row(random)
    if kind == "cut off":
        return kind, _cut(random, made), None
    return kind, _ONE_ROW[kind](random, made), [made]


def corpus(seed: int, count: int, ending: str = "\n") -> tuple[str, list[Expected]]:
    """A file of mixed defects; each begins on a line of its own.

    Args:
        seed: of the random choices.
        count: defects.
        ending: of its lines.
    """
    source = random.Random(seed)
    lines: list[str] = []
    expected: list[Expected] = []
    for _ in range(count):
        kind, line, rows = _one(source)
        first = len(lines) + 1
        lines.extend(line.split("\n"))
        expected.append(Expected(kind, first, len(lines), rows))
        if source.random() < 0.05:
            lines.append("")
    return ending.join(lines) + ending, expected


def table(seed: int, count: int) -> tuple[str, list[Row]]:
    """A CSV file of questions and answers."""
    source = random.Random(seed)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["question", "answer"])
    rows: list[Row] = []
    for _ in range(count):
        question, answer = text(source), text(source)
        writer.writerow([question, answer])
        rows.append({"prompt": f"User: {question}\nAssistant:", "completion": answer})
    return file.getvalue(), rows
