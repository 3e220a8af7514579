"""The parts of Go's text/template and of Ollama's Modelfile that the exports use, for the tests.

Semantics after the documentation of text/template: {{- and -}} trim white space, `range` sets the
dot, `:=` declares and `=` assigns a variable, `eq` and `ne` compare, `not` negates, `printf`
fills in. tests/interop renders the same templates with Go itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator


def parse_modelfile(text: str) -> list[tuple[str, str]]:
    """Instructions in order: ("FROM", "./model.gguf"), ("stop", ...) for PARAMETER stop."""
    found, rest = [], text
    while rest := rest.lstrip():
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        name, rest = re.match(r"(\w+)[ \t]+(.*)", rest, re.DOTALL).groups()
        if name == "PARAMETER":
            name, rest = re.match(r"(\w+)[ \t]+(.*)", rest, re.DOTALL).groups()
        quote = next((q for q in ('"""', '"') if rest.startswith(q)), None)
        if quote:
            value, end, rest = rest.removeprefix(quote).partition(quote)
            assert end, "the quotation ends"
            assert rest.startswith("\n"), "nothing follows it on its line"
        else:
            value, _, rest = rest.partition("\n")
        found.append((name, value))
    return found


def render(template: str, messages: list[dict[str, str]]) -> str:
    """The template's text for messages, as Ollama gives them: .Messages and .System."""
    system = "\n\n".join(m["Content"] for m in messages if m["Role"] == "system")
    tree = _block(_pieces(template), closing=())
    return _run(tree, {"Messages": messages, "System": system}, {})


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    parts = re.split(r"(\{\{.*?\}\})", template, flags=re.DOTALL)
    for number, part in enumerate(parts):
        if number % 2:
            yield "action", part.removeprefix("{{").removesuffix("}}").strip("- \n")
            continue
        if number and parts[number - 1].endswith(" -}}"):
            part = part.lstrip()
        if number + 1 < len(parts) and parts[number + 1].startswith("{{- "):
            part = part.rstrip()
        yield "text", part


def _block(pieces: Iterator[tuple[str, str]], closing: tuple[str, ...]) -> list:
    tree = []
    for kind, text in pieces:
        word = text.partition(" ")[0]
        if kind == "text":
            tree.append((kind, text))
        elif word in closing:
            tree.append(("closed", text))
            return tree
        elif word in ("if", "range"):
            branches, head = [], text
            while True:
                body = _block(pieces, ("else", "end"))
                _, ending = body.pop()
                branches.append((head, body))
                if ending == "end":
                    break
                head = ending.removeprefix("else").strip() or "else"
            tree.append((word, branches))
        else:
            tree.append((kind, text))
    assert not closing, "each block ends"
    return tree


def _run(tree: list, dot: dict, variables: dict[str, str]) -> str:
    out = ""
    for kind, part in tree:
        if kind == "text":
            out += part
        elif kind == "action":
            assigned = re.fullmatch(r"(\$\w+) :?= (.*)", part)
            if assigned:
                variables[assigned[1]] = _value(assigned[2], dot, variables)
            else:
                out += str(_value(part, dot, variables))
        elif kind == "range":
            ((head, body),) = part
            for item in _value(head.removeprefix("range "), dot, variables):
                out += _run(body, item, variables)
        else:
            for head, body in part:
                if head == "else" or _holds(head.removeprefix("if "), dot, variables):
                    out += _run(body, dot, variables)
                    break
    return out


def _holds(condition: str, dot: dict, variables: dict[str, str]) -> bool:
    name, *rest = _words(condition)
    values = [_value(word, dot, variables) for word in rest]
    return {"not": lambda: not values[0], "eq": lambda: values[0] == values[1],
            "ne": lambda: values[0] != values[1]}[name]()  # fmt: skip


def _words(text: str) -> list[str]:
    return re.findall(r'"[^"]*"|\S+', text)


def _value(text: str, dot: dict, variables: dict[str, str]) -> object:
    name, *rest = _words(text)
    if name == "printf":
        form, *values = (_value(word, dot, variables) for word in rest)
        return form % tuple(values)
    if name.startswith('"'):
        return json.loads(name)
    return variables[name] if name.startswith("$") else dot[name.removeprefix(".")]
