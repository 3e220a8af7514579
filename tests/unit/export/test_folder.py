"""Where exports go: whole or not at all, and never over something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from theobot import __version__
from theobot.errors import ModelError, RunError
from theobot.export.folder import (
    Needs,
    exact_compute,
    needs_of,
    new_folder,
    origin,
    parameters_of,
    refuse_small_machine,
    refuse_taken,
    revision_of,
)

CPU = torch.device("cpu")


def test_a_folder_appears_when_all_is_written(tmp_path):
    out = tmp_path / "deep" / "out"
    with new_folder(out) as folder:
        (folder / "model").write_text("whole")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["model"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_error_leaves_nothing_behind(tmp_path):
    def write_half() -> None:
        with new_folder(tmp_path / "out") as folder:
            (folder / "model").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_cleared_away(tmp_path):
    left = tmp_path / ".out.writing"
    left.mkdir()
    (left / "old").touch()
    with new_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_an_empty_folder_may_be_taken_and_a_full_one_not(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "model").touch()
    with pytest.raises(RunError, match=r"not empty.*-o"):
        refuse_taken(tmp_path / "empty")
    with pytest.raises(RunError, match="not empty"):
        refuse_taken(tmp_path / "empty" / "model")
    refuse_taken(tmp_path / "new")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"), new_folder(tmp_path / "file" / "out"):
        pass


def test_a_model_is_measured_without_its_weights(qwen_folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(qwen_folder)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert sum(parameters_of(str(qwen_folder))) == parameters
    needs = needs_of(str(qwen_folder), disk_bytes=2, memory_bytes=4)
    assert 2 * parameters < needs.disk < 2 * parameters + 1e8
    assert 4 * parameters < needs.memory < 4 * parameters + 1e9


def test_too_little_room_is_told_before_it_starts(tmp_path):
    refuse_small_machine(Needs(1e6, 1e6), CPU, tmp_path)
    with pytest.raises(ModelError, match=r"1000000\.0 GB are needed"):
        refuse_small_machine(Needs(1e15, 1e6), CPU, tmp_path)
    with pytest.raises(ModelError, match=r"1e\+06 GB of memory.*another device or machine"):
        refuse_small_machine(Needs(1e6, 1e15), CPU, tmp_path)
    said = Needs(15.3e9, 15.9e9).sentence(CPU, Path("out"))
    assert said == "This writes about 15 GB to out and takes about 16 GB of memory on the CPU."


def test_the_base_is_held_in_its_own_format(qwen_folder):
    assert exact_compute(str(qwen_folder), "cpu").dtype == torch.float32
    assert exact_compute("nano", "cpu").dtype == torch.bfloat16


def test_a_gpu_without_bfloat16_holds_the_base_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    found = exact_compute("nano", "cuda")
    assert (found.device.type, found.dtype) == ("cuda", torch.float32)
    assert "has no bfloat16" in found.reason


def test_the_origin_names_base_and_adapter_and_no_path(plain):
    facts = origin(plain)
    assert facts["base_model"] == Path(plain.model).name
    assert facts["adapter_sha256"] == plain.adapter.sha256()
    assert facts["versions"]["theobot"] == __version__


def test_the_revision_is_that_of_the_cache(tmp_path, monkeypatch):
    commit = "a" * 40
    repo = tmp_path / "models--me--base"
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "snapshots" / commit / "config.json").write_text("{}")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert revision_of("me/base") == commit
    assert revision_of("me/other") is None
    assert revision_of("nano") is None
    assert revision_of(str(tmp_path)) is None
