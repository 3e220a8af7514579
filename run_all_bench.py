"""The seed's script name: `python run_all_bench.py ...` is `theobot bench ...`."""

from __future__ import annotations

import sys

from theobot.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
