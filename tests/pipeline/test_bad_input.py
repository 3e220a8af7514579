"""A person's mistakes and a machine's limits: one clear sentence, exit 2, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from theobot.cli import main
from theobot.run_folder import RunFolder

ROW = {"prompt": "User: What is sewa?\nAssistant:", "completion": "Selfless service."}


class Typed:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, " ".join(err.split())


@pytest.fixture
def typed(capfd):
    def run(*words: object) -> Typed:
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return Typed(code, captured.out, captured.err)

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "good.jsonl"
    file.write_text((json.dumps(ROW) + "\n") * 20)
    return file


def train_words(base: Path, data: Path, output: Path, *more: object) -> list[object]:
    common = ["train", "--model", base, "--data", data, "--output", output, "--training.no-bf16"]
    return [*common, "--training.num-train-epochs", 1, "--lora.r", 4, *more]


def refused(result: Typed, *parts: str) -> None:
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["bad.jsonl: no such file", "Type the path"]),
        ("", ["bad.jsonl: holds no rows", "Each line must be"]),
        ('{"prompt": "a "b""}\n', ["bad.jsonl:1: not valid JSON at character", 'written \\"']),
        ('{"question": "a", "answer": "b"}\n', ["bad.jsonl:1: lacks prompt and completion"]),
        (json.dumps({**ROW, "completion": ""}) + "\n", ["bad.jsonl:1: the completion is empty"]),
        (
            json.dumps(ROW) + "\n" + json.dumps({**ROW, "completion": "word " * 2000}) + "\n",
            [
                "bad.jsonl:2:",
                "at most 1024 are allowed",
                "--tokens.max-length",
                "No row is ever cut",
            ],
        ),
    ],
)
def test_bad_data_files(typed, tiny_base_folder, tmp_path, content, parts):
    file = tmp_path / "bad.jsonl"
    if content is not None:
        file.write_text(content)
    result = typed(*train_words(tiny_base_folder, file, tmp_path / "run"))
    refused(result, *parts)
    assert not (tmp_path / "run").exists()
    assert content is None or file.read_text() == content


def test_unknown_settings(typed, tiny_base_folder, data, tmp_path):
    result = typed(*train_words(tiny_base_folder, data, tmp_path / "run", "--lora.rank", 8))
    refused(result, "--lora.rank")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        "[lora]\nrnk = 8\n[training]\nlearning_rate = 'fast'\nnum_train_epochs = -1\n"
    )
    result = typed("train", recipe, "--data", data, "--output", tmp_path / "run")
    refused(
        result,
        "mine.toml: unknown setting lora.rnk",
        "Did you mean lora.r?",
        "training.learning_rate = 'fast'",
        "training.num_train_epochs = -1",
    )
    assert not (tmp_path / "run").exists()


def test_an_unknown_model_folder(typed, data, tmp_path):
    result = typed(*train_words(tmp_path / "no-model", data, tmp_path / "run"))
    refused(result, "no-model", "no such folder", "Qwen/Qwen2.5-7B-Instruct")


def test_an_adapter_for_another_base(typed, tiny_adapter_folder):
    result = typed("ask", "What is sewa?", "--adapter", tiny_adapter_folder, "--model", "nano")
    refused(result, "made for another base", "--model")


def test_an_adapter_in_a_bin_file(typed, tiny_adapter_folder, tmp_path):
    adapter = Path(shutil.copytree(tiny_adapter_folder, tmp_path / "adapter"))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    result = typed("ask", "What is sewa?", "--adapter", adapter, "--model", "nano")
    refused(result, "adapter_model.bin", "never loaded", "safe_serialization=True")


def test_an_output_folder_that_already_holds_a_run(typed, tiny_base_folder, data, tmp_path):
    words = train_words(tiny_base_folder, data, tmp_path / "run")
    assert typed(*words).code == 0
    before = (tmp_path / "run" / "adapter" / "adapter_model.safetensors").read_bytes()
    refused(typed(*words), "already holds a run", "--resume", "--output")
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").read_bytes() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_read_only_output(typed, tiny_base_folder, data, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = typed(*train_words(tiny_base_folder, data, small_disk / "run"))
    refused(result, "cannot be written", "Read-only file system", "--output")


def test_a_disk_that_fills_up_while_training(typed, tiny_base_folder, data, small_disk, tmp_path):
    words = train_words(tiny_base_folder, data, small_disk / "run", "--training.save-steps", 1)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - 90_000))
    refused(typed(*words), "No space left on device", "--resume")
    run = RunFolder(small_disk / "run")
    assert not run.adapter.exists()
    filler.unlink()
    assert typed("train", "--output", run.path, "--resume").code == 0
    assert typed(*train_words(tiny_base_folder, data, tmp_path / "whole")).code == 0
    saved = "adapter/adapter_model.safetensors"
    assert (run.path / saved).read_bytes() == (tmp_path / "whole" / saved).read_bytes()
