"""No room, or no right to write: a sentence, nothing lost, and the same result after room is made.

Where the small file system cannot be mounted, the largest size of a file that the system allows a
process (RLIMIT_FSIZE) fails a write in the middle in the same way.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

WEIGHTS = "adapter/adapter_model.safetensors"
KEPT = ("cannot be written", "what was saved before is still there")


def test_training_where_files_may_not_grow(typed, runs, full_disk, tmp_path):
    run = runs.copy(tmp_path / "run")
    (largest,) = (run / "checkpoints" / "checkpoint-7").glob("optimizer.pt")
    with full_disk(largest.stat().st_size - 1000):
        result = typed("train", "--output", run, "--resume")
    result.ended(2, *KEPT, f"`theobot train --output {run} --resume`")
    assert json.loads((run / "state.json").read_text())["status"] == "failed"
    typed("doctor", "--run", run).ended(1)
    runs.goes_on(typed, run, "from checkpoint-7")


def test_training_on_a_disk_that_fills_up(typed, runs, small_disk, fill):
    run = small_disk / "run"
    filler = fill(small_disk, 120_000)
    typed(*runs.words(run)).ended(2, "No space left on device", *KEPT, "--resume")
    assert not (run / "adapter").exists()
    filler.unlink()
    runs.goes_on(typed, run)


def test_training_into_a_read_only_folder(typed, runs, locked, tmp_path):
    run = runs.copy(tmp_path / "run")
    locked(run / "checkpoints")
    typed("train", "--output", run, "--resume").ended(2, "Permission denied", *KEPT)
    (run / "checkpoints").chmod(0o755)
    runs.goes_on(typed, run, "from checkpoint-7")


def test_a_new_run_in_a_read_only_folder(typed, runs, locked, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    locked(place)
    typed(*runs.words(place / "run")).ended(2, *KEPT, "Permission denied", "--output")
    assert not list(place.iterdir())


def test_a_read_only_disk(typed, runs, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    typed(*runs.words(small_disk / "run")).ended(2, *KEPT, "Read-only file system", "--output")


def test_answers_go_to_a_full_device(tmp_path):
    """`theobot ... > file` on a full disk: whoever reads the file must not take it for whole."""
    with Path("/dev/full").open("wb") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "theobot", "runs", "--json", str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert shown.returncode == 2, shown.stderr
    assert "Traceback" not in shown.stderr
    assert "No space left on device" in shown.stderr


def broken_rows(folder: Path, count: int) -> Path:
    """Rows with unescaped quotation marks, as the seed's file had them."""
    source = folder / "broken.jsonl"
    line = (
        '{"prompt": "User: What is sewa?\\nAssistant:", "completion": "It is "selfless" help."}\n'
    )
    source.write_text(line * count)
    return source


def mended(typed, source: Path, output: Path) -> bytes:
    typed("data", "fix", source, "-o", output).ended(0)
    return output.read_bytes()


def test_mending_data_where_files_may_not_grow(typed, full_disk, tmp_path):
    source, output = broken_rows(tmp_path, 3000), tmp_path / "fixed.jsonl"
    words = ("data", "fix", source, "-o", output, "--report", tmp_path / "report.json")
    with full_disk(100_000):
        typed(*words).ended(2, "fixed.jsonl: cannot be written", "Nothing was kept", "-o")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.jsonl"]
    typed(*words).ended(0)
    assert output.read_bytes() == mended(typed, source, tmp_path / "again.jsonl")


def test_splitting_data_on_a_full_disk(typed, runs, full_disk, tmp_path):
    words = ("data", "split", runs.rows, "-o", tmp_path / "parts", "--dev", "0.3")
    with full_disk(200):
        typed(*words).ended(2, "cannot be written", "Free some space")
    assert not list((tmp_path / "parts").iterdir())
    typed(*words).ended(0)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"train.jsonl", "dev.jsonl"}


def test_mending_data_is_killed(start, typed, tmp_path):
    """Half a file never bears the name of the whole one."""
    source, output = broken_rows(tmp_path, 8_000), tmp_path / "fixed.jsonl"
    command = start("data", "fix", source, "-o", output, "--report", tmp_path / "report.json")
    half = tmp_path / ".fixed.jsonl.tmp"
    command.wait_for(lambda: half.exists() and half.stat().st_size > 0)
    command.send(signal.SIGKILL)
    assert command.end().code == -signal.SIGKILL
    assert not output.exists()
    assert mended(typed, source, output).count(b"\n") == 8_000


def test_an_export_to_a_full_disk(typed, runs, full_disk, tmp_path):
    """No folder, rather than half a model."""
    output = tmp_path / "merged"
    words = ("export", "merged", "--run", runs.whole, "-o", output)
    with full_disk(30_000):
        typed(*words).ended(2, "cannot be written")
    assert not list(tmp_path.iterdir())
    typed(*words).ended(0)
    assert (output / "model.safetensors").is_file()
