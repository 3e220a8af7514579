"""A whole model as GGUF: weights, tokenizer and head of the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize

from theobot.data.prompt import SEED_CHAT_TEMPLATE
from theobot.errors import ModelError
from theobot.export.folder import origin
from theobot.export.gguf_model import export_gguf_model, write_model
from theobot.model.adapter import Selection, load_adapter
from theobot.nano import nano_folder


@pytest.fixture(scope="module")
def whole(plain: Selection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_gguf_model(plain, tmp_path_factory.mktemp("gguf") / "out", "f32")


@pytest.fixture(scope="module")
def weights(plain: Selection) -> dict[str, torch.Tensor]:
    """PEFT's merge in float32, under transformers' names."""
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(plain.model, dtype="float32")
    return dict(load_adapter(base, plain.adapter).merge_and_unload().state_dict())


@pytest.fixture(scope="module")
def reader(whole: Path) -> GGUFReader:
    """Reading the tokens takes a second, so that they are read once."""
    return GGUFReader(whole)


def values(reader: GGUFReader) -> dict[str, np.ndarray]:
    return {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}


NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    "blk.1.attn_q.weight": "model.layers.1.self_attn.q_proj.weight",
    "blk.1.attn_q.bias": "model.layers.1.self_attn.q_proj.bias",
    "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
    "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
    "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
    "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
}


def test_weights_are_base_plus_adapter(reader, weights):
    found = values(reader)
    assert len(found) == len(weights)
    for name, known in NAMES.items():
        np.testing.assert_allclose(found[name], weights[known].numpy(), atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    ("outtype", "error"), [("f16", 2**-11), ("bf16", 2**-8), ("q8_0", 1 / 127)]
)
def test_smaller_formats_round_the_matrices_alone(plain, tmp_path, weights, outtype, error):
    small = GGUFReader(export_gguf_model(plain, tmp_path / "out", outtype))
    found = values(small)
    for name, known in NAMES.items():
        exact = weights[known].numpy()
        off = np.abs(found[name] - exact).max()
        # One of bfloat16's roundings comes from the base's format being kept in between.
        assert off <= error * np.abs(exact).max(), name
        if exact.ndim == 1:
            assert off <= 2**-8 * np.abs(exact).max()
    kinds = {tensor.name: tensor.tensor_type for tensor in small.tensors}
    assert kinds["blk.0.attn_norm.weight"] == GGMLQuantizationType.F32
    assert kinds["blk.0.attn_q.weight"] == GGMLQuantizationType[outtype.upper()]
    # 80 values in a row make no whole blocks of 32.
    instead = "F16" if outtype == "q8_0" else outtype.upper()
    assert kinds["blk.0.ffn_down.weight"] == GGMLQuantizationType[instead]


def test_the_head_describes_the_model(reader):
    assert reader.fields["general.architecture"].contents() == "qwen2"
    assert reader.fields["general.type"].contents() == "model"
    assert reader.fields["general.sampling.temp"].contents() == 0
    assert reader.fields["general.sampling.penalty_repeat"].contents() == 1
    shape = {
        key.removeprefix("qwen2."): field.contents()
        for key, field in reader.fields.items()
        if key.startswith("qwen2.")
    }
    assert shape.pop("attention.layer_norm_rms_epsilon") == pytest.approx(1e-6)
    assert shape == {
        "block_count": 2,
        "context_length": 512,
        "embedding_length": 32,
        "feed_forward_length": 80,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "rope.freq_base": 10000.0,
    }


def test_tokens_merges_and_special_ids_are_the_tokenizers(reader):
    fields = {key: field.contents() for key, field in reader.fields.items()}
    saved = json.loads((nano_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(kinds) == 6176
    assert all(tokens[number] == text for text, number in saved["model"]["vocab"].items())
    assert tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    control, normal, unused = 3, 1, 5
    assert kinds[:3] == [control] * 3
    assert set(kinds[3:6144]) == {normal}
    assert set(kinds[6144:]) == {unused}
    assert fields["tokenizer.ggml.merges"] == [" ".join(pair) for pair in saved["model"]["merges"]]
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "qwen2"
    assert fields["tokenizer.ggml.eos_token_id"] == 2
    assert fields["tokenizer.ggml.padding_token_id"] == 0
    assert fields["tokenizer.ggml.add_bos_token"] is False


def test_chat_endpoints_ask_in_the_format_that_was_trained(reader, make_adapter, tmp_path):
    key = "tokenizer.chat_template"
    assert reader.fields[key].contents() == SEED_CHAT_TEMPLATE
    chat = export_gguf_model(make_adapter(prompt_format="chat"), tmp_path / "chat", "f16")
    own = (nano_folder() / "chat_template.jinja").read_text()
    assert GGUFReader(chat).fields[key].contents() == own


def test_the_same_model_gives_the_same_bytes(whole, plain, tmp_path):
    again = export_gguf_model(plain, tmp_path / "out", "f32")
    assert again.read_bytes() == whole.read_bytes()


def test_a_base_alone_with_tied_embeddings(tmp_path):
    """What the test against llama.cpp loads beside an adapter."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(nano_folder(), dtype="bfloat16")
    facts = {"base_model": "nano", "base_revision": None, "adapter_sha256": None}
    tokenizer = AutoTokenizer.from_pretrained(nano_folder())
    path = tmp_path / "base.gguf"
    write_model(path, model, tokenizer, "bf16", facts | {"prompt_format": "chat"})
    reader = GGUFReader(path)
    assert reader.fields["tokenizer.ggml.bos_token_id"].contents() == 0
    found = values(reader)
    assert "output.weight" not in found
    assert len(found) == 98, "as many as in nano's own file"
    embedding = model.state_dict()["model.embed_tokens.weight"].float().numpy()
    assert np.array_equal(found["token_embd.weight"], embedding)


def test_adapters_that_gguf_cannot_hold_are_merged(make_adapter, tmp_path):
    from transformers import AutoModelForCausalLM

    selection = make_adapter(use_dora=True, modules_to_save=["lm_head"])
    found = values(GGUFReader(export_gguf_model(selection, tmp_path / "out", "f32")))
    base = AutoModelForCausalLM.from_pretrained(selection.model, dtype="float32")
    wanted = load_adapter(base, selection.adapter).merge_and_unload().state_dict()
    for name in ("output.weight", "blk.1.attn_q.weight"):
        np.testing.assert_allclose(found[name], wanted[NAMES[name]].numpy(), atol=1e-6)
    base = AutoModelForCausalLM.from_pretrained(selection.model, dtype="float32").state_dict()
    assert not np.allclose(found["output.weight"], base["lm_head.weight"].numpy(), atol=1e-3)


def test_the_account_lies_beside_it(whole, plain):
    account = json.loads((whole.parent / "export.json").read_text())
    assert (account["kind"], account["outtype"]) == ("gguf model", "f32")
    assert account | origin(plain) == account


def change_config(selection: Selection, folder: Path, **changes: object) -> Selection:
    shutil.copytree(selection.model, folder)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return selection._replace(model=str(folder))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, "is a qwen3"),
        ({"use_sliding_window": True, "sliding_window": 128}, "has a sliding window"),
        (
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
            r"stretches its positions \(linear\)",
        ),
    ],
    ids=["family", "window", "rope"],
)
def test_models_that_are_no_plain_qwen2_are_refused(plain, tmp_path, changes, reason):
    other = change_config(plain, tmp_path / "base", **changes)
    with pytest.raises(ModelError, match=rf"{reason}.*convert_hf_to_gguf"):
        export_gguf_model(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_splits_otherwise_is_refused(tiny_model, tiny_base_folder, tmp_path):
    from transformers import PreTrainedTokenizerFast

    # GPT-2's rule. AutoTokenizer would put Qwen2's in its place, the model being a Qwen2.
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tiny_base_folder / "tokenizer.json"), eos_token="<|im_end|>"
    )
    facts = {"base_model": "tiny", "base_revision": None, "adapter_sha256": None}
    with pytest.raises(ModelError, match="not Qwen2's kind"):
        write_model(
            tmp_path / "tiny.gguf",
            tiny_model,
            tokenizer,
            "f32",
            facts | {"prompt_format": "seed"},
        )
    assert list(tmp_path.iterdir()) == [], "nothing half-written"
