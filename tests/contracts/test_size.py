"""No long function, no long module, nothing written down twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import theobot

SOURCE = Path(theobot.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

MOST_IN_A_FUNCTION = 60
MOST_IN_A_MODULE = 450
REPEATED = 8
"""Lines in a row that stand in two places: from here on they belong into one."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(node: ast.stmt | ast.expr) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def long_functions(source: str) -> list[tuple[str, int]]:
    """Each function that is too long, with its lines."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, Function))
    sizes = [(node.name, len(lines_of(node))) for node in functions]
    return [(name, size) for name, size in sizes if size > MOST_IN_A_FUNCTION]


def no_code(tree: ast.AST) -> Iterator[int]:
    """Lines that may be alike: imports, docstrings, and headers, which a protocol demands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            yield from lines_of(node)
        elif isinstance(node, Function):
            yield from range(node.lineno, node.body[0].lineno)


def code(source: str) -> list[tuple[int, str]]:
    """Number and text of each line that does something."""
    left_out = set(no_code(ast.parse(source)))
    lines = enumerate((line.strip() for line in source.splitlines()), start=1)
    return [
        (number, line)
        for number, line in lines
        if line and not line.startswith("#") and number not in left_out
    ]


def repeated(sources: dict[str, str]) -> list[list[str]]:
    """Places at which the same lines begin."""
    places = defaultdict(list)
    for name, source in sources.items():
        lines = code(source)
        for first in range(len(lines) - REPEATED + 1):
            run = tuple(line for _, line in lines[first : first + REPEATED])
            places[run].append(f"{name}:{lines[first][0]}")
    return [found for found in places.values() if len(found) > 1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_and_modules_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_IN_A_MODULE
    assert long_functions(source) == []


def test_nothing_is_written_down_twice():
    sources = {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in MODULES}
    assert repeated(sources) == []


BODY = "\n".join(f"    total += {number}" for number in range(8))


def test_the_checks_see_what_they_look_for():
    one = f'import os\n\n\ndef one(\n    a,\n):\n    """Add."""\n{BODY}\n'
    other = f"# Here too.\ndef other():\n    print()\n{BODY.replace('3', '3  # three')}\n"
    same = f"def third():\n\n{BODY}\n    return total\n"
    assert repeated({"one": one, "other": other, "same": same}) == [["one:8", "same:3"]]
    shorter = same.replace("    total += 7\n", "")
    assert repeated({"one": one, "shorter": shorter}) == []
    long = "def long():\n" + "    pass\n" * MOST_IN_A_FUNCTION
    assert long_functions(long) == [("long", 61)]
    assert long_functions(long.replace("    pass\n", "", 1)) == []
