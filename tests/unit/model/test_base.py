"""Finding and loading the base model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from theobot.errors import ModelError
from theobot.model.base import load_base, load_tokenizer, resolve_model
from theobot.model.device import Compute

CPU = Compute(torch.device("cpu"), torch.float32, "a test")


@pytest.fixture
def folder(tiny_base_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base_folder, tmp_path / "base"))


def test_a_local_folder_loads_in_the_asked_number_format(folder):
    for dtype in (torch.float32, torch.bfloat16):
        model, tokenizer = load_base(str(folder), CPU._replace(dtype=dtype))
        assert model.dtype == dtype
        assert not model.training
        assert tokenizer.eos_token == "<|im_end|>"


def test_nano_and_hub_ids_resolve():
    assert (Path(resolve_model("nano")) / "config.json").is_file()
    assert resolve_model("Qwen/Qwen2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"


@pytest.mark.parametrize("name", ["nowhere", "./nowhere/at", "a/b/c", "~/models/x/y", ""])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(name):
    with pytest.raises(ModelError, match="no such folder"):
        resolve_model(name)


def test_folders_that_are_no_model_say_what_is_missing(folder, tiny_adapter_folder, tmp_path):
    with pytest.raises(ModelError, match="Give it as --adapter"):
        resolve_model(str(tiny_adapter_folder))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only \.bin weights"):
        resolve_model(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="no weights"):
        resolve_model(str(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json not found"):
        resolve_model(str(folder))


def test_broken_weights_end_in_a_sentence(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(folder), CPU)


def test_a_hub_model_that_cannot_be_reached_ends_in_a_sentence():
    with pytest.raises(ModelError, match="theobot fetch someone/nothing"):
        load_base("someone/nothing", CPU)


def test_a_tokenizer_without_an_end_token_is_refused(folder):
    tokenizer = load_tokenizer(str(folder))
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        load_tokenizer(str(folder))
