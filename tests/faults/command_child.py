"""Body of a process that runs one command, as `theobot` does; to be killed, stopped or limited.

Run by path (`runpy.run_path`), because test modules are not importable by name. Expects the
globals `words`, `output` (a path without its ending) and `limits` (values by names of `resource`;
`room` is how many bytes of memory there are beside what the process has).
"""

import os
import resource
import sys
from pathlib import Path

from theobot.cli import main

for number, ending in ((1, "out"), (2, "err")):
    path = f"{output}.{ending}"  # type: ignore[name-defined]  # noqa: F821
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
for name, value in limits.items():  # type: ignore[name-defined]  # noqa: F821
    if name == "room":  # beside what this process has already
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        name, value = "RLIMIT_AS", pages * resource.getpagesize() + value
    resource.setrlimit(getattr(resource, name), (value, value))
sys.exit(main(words))  # type: ignore[name-defined]  # noqa: F821
