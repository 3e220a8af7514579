"""`python -m fuzzing [PARSER...] [--inputs N] [--seed N] [--output FOLDER]`; exits 1 on a fault."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

from fuzzing.oracle import fuzz, show
from fuzzing.targets import TARGETS, opened


def main() -> int:
    """Fuzz the parsers that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parsers", nargs="*", choices=[*TARGETS, []])
    parser.add_argument("--inputs", type=int, default=100_000, help="for each parser")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--extremes",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="large and deep ones",
    )
    parser.add_argument("--output", type=Path, help="folder for what was found")
    asked = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    warnings.simplefilter("ignore", ResourceWarning)
    faulty = False
    for name in asked.parsers or TARGETS:
        with opened(name) as target:
            outcome = fuzz(target, asked.inputs, asked.seed, with_extremes=asked.extremes)
        show(name, outcome, asked.output)
        sys.stdout.flush()
        faulty |= bool(outcome.faults)
    return int(faulty)


if __name__ == "__main__":
    sys.exit(main())
