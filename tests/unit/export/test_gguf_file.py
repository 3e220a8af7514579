"""What both GGUF exports share."""

from __future__ import annotations

import sys

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize

from theobot.errors import AdapterError, SettingsError
from theobot.export.gguf_file import (
    Tensor,
    add_origin,
    kind_of,
    names,
    new_writer,
    require_gguf,
    write_tensors,
)

FACTS = {
    "base_model": "Qwen/Qwen2.5-7B-Instruct",
    "base_revision": "abc",
    "prompt_format": "chat",
    "adapter_sha256": "f00",
}


def test_a_missing_package_is_told_with_what_to_type(monkeypatch):
    require_gguf()
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(SettingsError, match=r'pip install "theobot\[export\]"'):
        require_gguf()


@pytest.mark.parametrize(
    ("shape", "outtype", "kind"),
    [
        ((64,), "q8_0", "F32"),
        ((8, 64), "q8_0", "Q8_0"),
        ((8, 33), "q8_0", "F16"),
        ((8, 33), "bf16", "BF16"),
        ((8, 64), "f16", "F16"),
        ((8, 64), "f32", "F32"),
    ],
)
def test_vectors_stay_whole_and_odd_rows_are_no_blocks(shape, outtype, kind):
    assert kind_of(shape, outtype) == GGMLQuantizationType[kind]


@pytest.mark.parametrize(("outtype", "error"), [("f32", 0), ("f16", 2**-11), ("q8_0", 1 / 127)])
def test_what_is_written_is_read_again(tmp_path, outtype, error):
    torch.manual_seed(0)
    tensors = [
        Tensor("matrix", torch.randn(6, 64)),
        Tensor("half", torch.randn(3, 32).bfloat16()),
        Tensor("turned", torch.randn(32, 5).T),
        Tensor("vector", torch.randn(7)),
    ]
    write_tensors(new_writer(tmp_path / "x.gguf", "model", "x"), tensors, outtype)
    found = {
        t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(tmp_path / "x.gguf").tensors
    }
    for name, values in tensors:
        off = torch.from_numpy(found[name].copy()) - values.float()
        assert off.abs().max() <= error * values.abs().max(), name


def test_numbers_that_are_none_or_too_large_are_refused(tmp_path):
    for value, outtype, sentence in (
        (torch.inf, "f32", "not finite"),
        (1e5, "f16", "--outtype f32"),
    ):
        writer = new_writer(tmp_path / "x.gguf", "adapter", "x")
        with pytest.raises(AdapterError, match=sentence):
            write_tensors(writer, [Tensor("matrix", torch.full((1, 2), value))], outtype)


def test_the_origin_is_in_the_file(tmp_path):
    writer = new_writer(tmp_path / "x.gguf", "adapter", "An adapter")
    add_origin(writer, FACTS)
    write_tensors(writer, [Tensor("matrix", torch.ones(1, 1))], "f32")
    fields = {k: f.contents() for k, f in GGUFReader(tmp_path / "x.gguf").fields.items()}
    assert fields["general.architecture"] == "qwen2"
    assert fields["general.type"] == "adapter"
    assert fields["general.name"] == "An adapter"
    assert fields["general.base_model.0.organization"] == "Qwen"
    assert fields["general.base_model.0.name"] == "Qwen2.5-7B-Instruct"
    assert fields["general.base_model.0.version"] == "abc"
    assert fields["theobot.prompt_format"] == "chat"
    assert fields["theobot.adapter_sha256"] == "f00"


def test_names_are_those_of_llama_cpp():
    name_of = names(2)
    assert name_of("model.layers.1.mlp.down_proj.weight") == "blk.1.ffn_down.weight"
    assert name_of("model.layers.0.self_attn.k_proj.bias") == "blk.0.attn_k.bias"
    assert name_of("model.layers.2.mlp.down_proj.weight") is None
    assert name_of("something.else.weight") is None
