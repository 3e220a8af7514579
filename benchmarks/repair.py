"""How good and how fast `theobot data fix` is, beside json-repair where that is installed.

python benchmarks/repair.py weigh     defects with known originals, both repairers
python benchmarks/repair.py valid     20,000 valid lines: nothing may change
python benchmarks/repair.py speed     200,000 lines, half of them broken: seconds and memory
python benchmarks/repair.py fuzz      100,000 inputs: no crash, no hang, no lost line
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import runpy
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from theobot.data.lines import read_lines
from theobot.data.repair import repair_file, repair_lines

TESTS = Path(__file__).parents[1] / "tests" / "unit" / "data"
defects = runpy.run_path(str(TESTS / "defects.py"))


def weigh(count: int) -> None:
    """Both repairers on the same defects: came back whole, said no, or silently wrong."""
    body, expected = defects["corpus"](11, count)
    lines = body.split("\n")
    for name, repairer in (("theobot", _ours(body)), ("json-repair", _theirs())):
        if repairer is None:
            print(f"{name}: not installed")
            continue
        outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        start = time.perf_counter()
        for want in expected:
            got = repairer(want, "\n".join(lines[want.first - 1 : want.last]))
            word = _judge(got, want.rows)
            outcomes[want.defect][word] += 1
            outcomes["all"][word] += 1
        print(f"{name} ({time.perf_counter() - start:.1f} s)")
        for kind, counts in sorted(outcomes.items()):
            print(f"  {kind:24} {dict(counts)}")


def _judge(got: list[Any] | None, wanted: list[Any] | None) -> str:
    if wanted is None:
        return "rejected, rightly" if not got else "guessed at a cut-off line"
    if got == wanted:
        return "whole"
    return "rejected, wrongly" if not got else "silently wrong"


def _ours(body: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        source.write_text(body, encoding="utf-8", newline="")
        found = defaultdict(list)
        for outcome in repair_lines(read_lines(source)):
            if outcome.text and outcome.kind != "rejected":
                found[outcome.first].append(json.loads(outcome.text))
    return lambda want, _: [row for n in range(want.first, want.last + 1) for row in found[n]]


def _theirs() -> Any:
    """json-repair, with the rows' shapes mended for it: only the texts are compared."""
    try:
        import json_repair
    except ImportError:
        return None
    from theobot.data.shapes import to_seed

    def repair(_: Any, text: str) -> list[Any]:
        value = json_repair.loads(text)
        if isinstance(value, str):
            value = json_repair.loads(value)
        rows = value if isinstance(value, list) else [value]
        return [to_seed(row).row or row for row in rows if isinstance(row, dict) and row]

    return repair


def valid(count: int) -> None:
    """Valid lines in and out, byte for byte."""
    source = random.Random(2)
    rows = (
        json.dumps(defects["row"](source), ensure_ascii=source.random() < 0.5) for _ in range(count)
    )
    body = ("\n".join(rows) + "\n").encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.jsonl"
        path.write_bytes(body)
        done = repair_file(path, Path(folder) / "out.jsonl")
        same = done.output.read_bytes() == body
    print(f"{count} valid lines, {'byte for byte the same' if same else 'CHANGED'}: {done.counts}")


def speed(count: int) -> None:
    """Seconds and the peak of resident memory; half of the lines are broken."""
    source = random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for _ in range(count):
                row = defects["row"](source)
                file.write(defects["unquoted"](row, source.random() < 0.5) + "\n")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        done = repair_file(path, Path(folder) / "out.jsonl", Path(folder) / "report.json")
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = path.stat().st_size
    print(f"{count} lines, {size / 1e6:.0f} MB: {seconds:.1f} s, {done.counts}")
    print(f"peak memory {after / 1024:.0f} MiB, {before / 1024:.0f} MiB of it before")


def fuzz(count: int) -> None:
    """The two properties of the tests, on many more inputs."""
    tests = runpy.run_path(str(TESTS / "test_repair.py"))
    texts = {"question": tests["LETTERS"], "completion": tests["LETTERS"]}
    booleans = {"quotes": tests["st"].booleans(), "meta": tests["st"].booleans()}
    for name, arguments in (
        ("test_no_line_is_lost_whatever_comes", {"fragments": tests["FRAGMENTS"]}),
        ("test_a_text_comes_back_whole_or_its_line_is_reported", {**texts, **booleans}),
    ):
        check = tests[name].hypothesis.inner_test
        start = time.perf_counter()
        settings(max_examples=count // 2, deadline=2000, database=None)(given(**arguments)(check))()
        print(f"{name}: {count // 2} inputs in {time.perf_counter() - start:.0f} s")


def main() -> None:
    """Run one of the four."""
    works = {"weigh": (weigh, 8000), "valid": (valid, 20_000), "speed": (speed, 200_000)}
    works["fuzz"] = (fuzz, 100_000)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=works)
    parser.add_argument("--count", type=int)
    chosen = parser.parse_args()
    work, count = works[chosen.work]
    work(chosen.count or count)


if __name__ == "__main__":
    main()
