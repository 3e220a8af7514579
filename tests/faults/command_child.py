"""Body of a process that runs one command, as `theobot` does; to be killed, stopped.

Run by path (`runpy.run_path`), because test modules are not importable by name. Expects the
globals `words` and `output` (a path without its ending).
"""

import os
import sys

from theobot.cli import main

for number, ending in ((1, "out"), (2, "err")):
    path = f"{output}.{ending}"  # type: ignore[name-defined]  # noqa: F821
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.exit(main(words))  # type: ignore[name-defined]  # noqa: F821
