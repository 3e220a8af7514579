"""What only a GPU can show, in one command and one report. CUDA and ROCm alike.

    make gpu-check                         # in a source tree that is set up
    python benchmarks/gpu_check.py --output DIR      # where torch and Theobot are installed
    python benchmarks/gpu_check.py --output DIR --small      # does the check itself work? Any CPU

Trains the 7B shape with random weights made on the GPU, by the seed's recipe: speed, model FLOP
utilisation and peak memory, beside plain Trainer and TRL at its best setting; compares attentions;
trains nano on CPU and GPU and through `accelerate launch`. Nothing is downloaded. Each part stands
by itself: one that fails is reported with its error, and the others go on. The report is written
after each part, so that it is there even if the GPU takes the whole process with it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_report import DONE, FAILED, NOT_MEASURED, RUNNING, Found, NotMeasured, Part, Report

from theobot.model import before_torch

PARTS = (
    "machine",
    "attention",
    "memory",
    "theobot",
    "trainer",
    "trl",
    "nano",
    "launched",
    "tests",
)


def parse() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of gpu.md and gpu.json")
    parser.add_argument("--only", help=f"parts, separated by commas: {','.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=20, help="timed optimiser steps")
    parser.add_argument(
        "--card-gib",
        type=float,
        default=24.0,
        help="cut the passes as for a card of so much memory",
    )
    parser.add_argument("--small", action="store_true", help="a tiny model; no GPU needed")
    options = parser.parse_args()
    options.parts = options.only.split(",") if options.only else list(PARTS)
    odd = [name for name in options.parts if name not in PARTS]
    if odd:
        parser.error(f"--only {','.join(odd)}: no such part. There are: {','.join(PARTS)}.")
    if options.steps < 1:
        parser.error("--steps must be at least 1.")
    return options


def show_one_gpu() -> dict[str, str]:
    """Let this process see one GPU, because transformers splits batches over all that it sees.

    Returns:
        The environment as it was, for processes that are to use all of them.
    """
    before = dict(os.environ)
    name = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in before else "CUDA_VISIBLE_DEVICES"
    os.environ[name] = before.get(name, "0").partition(",")[0]
    return before


def run_part(name: str, work: Callable[[], Found]) -> Part:
    """Run one part, whatever happens in it."""
    started = time.monotonic()
    status, found, reason = DONE, Found(), ""
    try:
        found = work()
    except NotMeasured as error:
        status, reason = NOT_MEASURED, str(error)
    # What is being checked may fail in any way, and one part must not cost the others.
    except (Exception, SystemExit):
        status, reason = FAILED, traceback.format_exc()
    return Part(name, status, time.monotonic() - started, found, reason)


def run_parts(
    options: argparse.Namespace, everything: dict[str, str], folder: Path, report: Report
) -> None:
    """Run the parts that were asked for, and report each."""
    begun: list[Any] = []

    def begin() -> Found:
        from gpu_parts import GpuCheck

        begun.append(GpuCheck(options, everything, folder))
        return Found()

    start = run_part("start", begin)
    if not begun:
        report.put(start)
        return
    for name in options.parts:
        sys.stderr.write(f"{name} ...\n")
        report.put(Part(name, RUNNING, reason="Either this goes on, or it has ended the check."))
        part = run_part(name, getattr(begun[0], name))
        begun[0].tidy()
        report.put(part)
        last = part.reason.strip().rpartition("\n")[2]
        sys.stderr.write(f"{name}: {part.status} ({part.seconds:.0f} s) {last}\n")


def main() -> int:
    """Run the parts; exit code 1 if one failed, or a bar is missed."""
    options = parse()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # peak_memory.py says why.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    before_torch.prepare()
    report = Report(options.output, judged=not options.small)
    with tempfile.TemporaryDirectory() as scratch:
        run_parts(options, show_one_gpu(), Path(scratch), report)
    sys.stdout.write(report.markdown())
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
