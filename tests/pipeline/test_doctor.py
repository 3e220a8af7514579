"""`theobot doctor` as a process, on the machine that runs the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from theobot.run_folder import RunFolder, write_json

WITHOUT_TORCH = """
import sys
from theobot.cli import main
code = main(sys.argv[1:])
assert not {"torch", "transformers"} & set(sys.modules)
sys.exit(code)
"""


def test_this_machine_and_a_run_that_failed_are_explained(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.make()
    write_json(run.config, {"model": "nano"})
    text = "OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB."
    run.update_state(status="failed", failure={"text": text, "step": 3}, total_steps=9)
    typed = ["doctor", "--json", "--run", str(run.path)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *typed], capture_output=True, text=True, timeout=240
    )
    assert done.stderr == ""
    assert done.returncode == 1
    told = json.loads(done.stdout)
    facts, findings = told["facts"], {one["id"]: one for one in told["findings"]}
    assert findings["out-of-memory"]["severity"] == "error"
    assert "failed after step 3 of 9" in findings["out-of-memory"]["seen"]
    assert facts["model"] == "nano"
    assert facts["torch"]["version"] == torch.__version__
    assert facts["torch"]["available"] == torch.cuda.is_available()
    assert facts["torch"]["ended"] is None
    assert set(facts["unknown"]) <= {"kernel_log"}
    assert str(Path.home()) not in done.stdout
