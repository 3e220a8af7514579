"""What disks and power cuts do to a run: older checkpoints, or a sentence; never another result."""

from __future__ import annotations

import json
import shutil

import pytest

WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("adapter_model.safetensors", "flip"),
        ("optimizer.pt", "cut"),
        ("trainer_state.json", "zero_end"),
        ("rng_state.pth", "lose"),
        ("checksums.json", "cut"),
    ],
)
def test_a_damaged_checkpoint(typed, runs, damage, tmp_path, file, how):
    run = runs.copy(tmp_path / "run")
    getattr(damage, how)(run / "checkpoints" / "checkpoint-7" / file)
    runs.goes_on(typed, run, "checkpoint-7: damaged", "aside as damaged-7", "from checkpoint-6")
    assert (run / "checkpoints" / "damaged-7").is_dir()


def test_no_checkpoint_is_sound(typed, runs, damage, tmp_path):
    run = runs.copy(tmp_path / "run")
    for step in (6, 7):
        damage.flip(run / "checkpoints" / f"checkpoint-{step}" / "optimizer.pt")
    runs.goes_on(typed, run, "from the start: no checkpoint was complete")


def test_a_power_cut(typed, runs, damage, tmp_path):
    """Whatever had not reached the disk: ends of files, files without a name, empty ones."""
    run = runs.copy(tmp_path / "run")
    with (run / "metrics.jsonl").open("ab") as lines:
        lines.write(b'{"step": 8, "epo' + bytes(100))
    (run / ".state.json.tmp").write_bytes(b"")
    writing = run / "checkpoints" / ".writing"
    shutil.copytree(run / "checkpoints" / "checkpoint-7", writing / "checkpoint-8")
    damage.cut(writing / "checkpoint-8" / "optimizer.pt")
    (run / ".adapter.writing").mkdir()
    runs.goes_on(typed, run, "from checkpoint-7")
    assert not list(run.rglob(".*"))


def test_a_power_cut_before_the_run_had_begun(typed, runs, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in (".writable", ".lock", ".dataset.json.tmp", "dataset.json", ".config.json.tmp"):
        (run / name).write_bytes(b"\0\0")
    typed(*runs.words(run)).ended(0)
    assert (run / WEIGHTS).read_bytes() == runs.adapter()


def test_damaged_files_of_the_run(typed, runs, damage, tmp_path):
    run = runs.copy(tmp_path / "run")
    for file in (run / "config.json", run / "state.json", run / "dataset.json"):
        sound = file.read_bytes()
        damage.zero_end(file)
        typed("train", "--output", run, "--resume").ended(2, f"{file}: damaged", "Restore it")
        file.write_bytes(sound)
    # Still JSON, but no longer what was written.
    for name, was, became in (
        ("config.json", b'"seed"', b'"sefd"'),
        ("state.json", b'"passes"', b'"pasres"'),
        ("state.json", b'"longest"', b'"lnngest"'),
    ):
        file = run / name
        sound = file.read_bytes()
        assert was in sound
        file.write_bytes(sound.replace(was, became))
        typed("train", "--output", run, "--resume").ended(2, str(file), "damaged", "Restore it")
        file.write_bytes(sound)
    assert (run / "checkpoints" / "checkpoint-7").is_dir()
    runs.goes_on(typed, run)


def test_damaged_training_rows(typed, runs, damage, tmp_path):
    """Rows that were lost, and a letter that became another: neither goes unseen."""
    run = runs.copy(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    rows = tmp_path / "rows.jsonl"
    sound = runs.rows.read_bytes()
    (run / "config.json").write_text(json.dumps({**config, "data": str(rows)}))
    resume = ("train", "--output", run, "--resume")
    rows.write_bytes(sound[: len(sound) // 2])
    typed(*resume).ended(2, "rows.jsonl:", "not valid JSON")
    rows.write_bytes(b"".join(sound.splitlines(keepends=True)[:-3]))
    typed(*resume).ended(2, "rows.jsonl: not the rows", "Restore the file")
    rows.write_bytes(sound.replace(b"Peace", b"Pea\x63f", 1))
    typed(*resume).ended(2, "rows.jsonl: not the rows", "Restore the file")
    rows.write_bytes(sound)
    runs.goes_on(typed, run)


@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_adapter(typed, runs, damage, tmp_path, how):
    run = tmp_path / "run"
    shutil.copytree(runs.whole, run)
    getattr(damage, how)(run / WEIGHTS)
    ask = ("ask", "What is sewa?", "--run", run, "--max-new-tokens", 2)
    typed(*ask).ended(2, f"{WEIGHTS.partition('/')[2]}: damaged", "--resume")
    shutil.rmtree(run / "adapter")
    typed(*ask).ended(2, "no adapter yet", f"`theobot train --output {run} --resume`")
    runs.goes_on(typed, run)
    typed(*ask).ended(0)


def test_a_damaged_adapter_from_elsewhere(typed, tiny_adapter_folder, runs, damage, tmp_path):
    adapter = tmp_path / "adapter"
    shutil.copytree(tiny_adapter_folder, adapter)
    ask = ("ask", "What is sewa?", "--adapter", adapter, "--model", runs.base)
    damage.cut(adapter / "adapter_model.safetensors")
    typed(*ask).ended(2, "adapter_model.safetensors: damaged")
    damage.zero_end(adapter / "adapter_config.json")
    typed(*ask).ended(2, "adapter_config.json: damaged", "Fetch or save the adapter again")
