"""Body of a process that runs one command, as `theobot` does, or a script; to be killed, stopped.

Run by path (`runpy.run_path`), because test modules are not importable by name. Expects the globals
`words`, `output` (a path without its ending) and `environment`.
"""

import os
import runpy
import sys

from theobot.cli import main

told = globals()
words, output = told["words"], told["output"]
os.environ.clear()
os.environ.update(told["environment"])
for number, ending in ((1, "out"), (2, "err")):
    path = f"{output}.{ending}"
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
# What pytest captures by is no file of this process.
sys.stdout = os.fdopen(1, "w", closefd=False)
sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
if words[0].endswith(".py"):
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
else:
    sys.exit(main(words))
