"""How long the whole benchmark takes with nano, and whether kill -9 at any moment costs anything.

    theobot demo
    python benchmarks/bench.py --adapter runs/demo/adapter

Runs `theobot bench` on all shipped questions as its own process and times it from start to end
(loading, answers of both, probes, report). Then the same again in another folder with the same
plan, killed at ten random moments and each time started again; all files must have the same bytes,
the report included.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from theobot.bench.answers import ANSWERS, read_answers
from theobot.bench.plan import PLAN


def main() -> int:
    """Measure and print; 0 if all files are the same."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--adapter", type=Path, required=True, help="an adapter of nano")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="most questions of each set")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "whole", Path(place) / "killed"
        started = time.perf_counter()
        code = start(options, whole).wait()
        seconds = time.perf_counter() - started
        sets = Counter(record.set for record in read_answers(whole / ANSWERS))
        count = ", ".join(f"{number} {name}" for name, number in sets.items())
        print(f"{seconds:.1f} s from start to end, exit code {code}; answers: {count}", flush=True)
        killed.mkdir()
        # The plan says when it was made, and the report repeats it.
        shutil.copy(whole / PLAN, killed / PLAN)
        moments = random.Random(options.seed)
        for number in range(options.kills):
            cut_off(options, killed, moments.uniform(0, seconds), number)
        print(f"started once more: exit code {start(options, killed).wait()}")
        found = {path.name: path.read_bytes() for path in killed.iterdir()}
        expected = {path.name: path.read_bytes() for path in whole.iterdir()}
    other = sorted(name for name in found | expected if found.get(name) != expected.get(name))
    print(f"{len(expected)} files, of which differ: {', '.join(other) or 'none'}")
    return bool(other)


def start(options: argparse.Namespace, output: Path) -> subprocess.Popen[bytes]:
    """`theobot bench` as its own process, quiet."""
    command = [sys.executable, "-m", "theobot", "bench", "--adapter", str(options.adapter)]
    command += ["--limit", str(options.limit)] if options.limit else []
    return subprocess.Popen(
        [*command, "--device", "cpu", "-o", str(output)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def cut_off(options: argparse.Namespace, output: Path, after: float, number: int) -> None:
    """Start, wait, kill; say what was there by then."""
    child = start(options, output)
    try:
        child.wait(after)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    ended = "killed" if child.wait() == -signal.SIGKILL else "had ended by itself"
    store = output / ANSWERS
    lines = store.read_bytes().count(b"\n") if store.exists() else 0
    print(f"  {number + 1}: {ended} after {after:.1f} s, {lines} answers kept", flush=True)


if __name__ == "__main__":
    sys.exit(main())
