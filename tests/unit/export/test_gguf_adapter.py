"""An adapter as GGUF: what is in the file is what PEFT computes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from theobot.config import PromptFormat
from theobot.data.prompt import SEED_CHAT_TEMPLATE
from theobot.errors import AdapterError, RunError
from theobot.export.gguf_adapter import export_gguf_adapter
from theobot.model.adapter import Selection, load_adapter, read_adapter_info

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ALL = "all-linear"


def field(reader: GGUFReader, key: str) -> object:
    return reader.fields[key].contents()


def file_deltas(path) -> dict[str, np.ndarray]:
    """The change of each weight as llama.cpp computes it: alpha / r x B A."""
    reader = GGUFReader(path)
    alpha = field(reader, "adapter.lora.alpha")
    tensors = {tensor.name: tensor.data.astype(np.float64) for tensor in reader.tensors}
    modules = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
    assert len(tensors) == 2 * len(modules)
    return {
        name: alpha / len(tensors[f"{name}.lora_a"])
        * (tensors[f"{name}.lora_b"] @ tensors[f"{name}.lora_a"])
        for name in modules
    }  # fmt: skip


def peft_deltas(selection: Selection) -> dict[str, np.ndarray]:
    """The change of each weight by PEFT's own account, under GGUF's names."""
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(selection.model, dtype="float32")
    layers = load_adapter(base, selection.adapter).get_base_model().model.layers
    return {
        f"blk.{number}.{gguf}.weight": part.get_delta_weight("default").double().numpy()
        for number, layer in enumerate(layers)
        for name, gguf in NAMES.items()
        if hasattr(part := layer.get_submodule(name), "get_delta_weight")
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 4, "lora_alpha": 8},
        {"r": 8, "lora_alpha": 12},
        {"r": 8, "lora_alpha": 12, "use_rslora": True},
        {"target_modules": ALL, "r": 3, "lora_alpha": 7},
        {"alpha_pattern": {"q_proj": 5, r"layers\.1\..*up_proj": 9}, "target_modules": ALL},
        {"rank_pattern": {"v_proj": 2}},
        {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 3}, "target_modules": ALL},
        {"target_modules": ["gate_proj", "down_proj"], "layers_to_transform": [1]},
    ],
    ids=lambda settings: "-".join(settings),
)  # fmt: skip
def test_the_file_changes_each_weight_as_peft_does(make_adapter, tmp_path, settings):
    selection = make_adapter(**settings)
    found = file_deltas(export_gguf_adapter(selection, tmp_path / "out"))
    wanted = peft_deltas(selection)
    assert found.keys() == wanted.keys()
    for name, delta in wanted.items():
        assert np.abs(delta).max() > 0
        np.testing.assert_allclose(found[name], delta, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.filterwarnings("ignore:It is recommended to use")
def test_rslora_with_several_ranks_and_alphas(make_adapter, tmp_path):
    selection = make_adapter(
        use_rslora=True, rank_pattern={"v_proj": 2}, alpha_pattern={"q_proj": 5}, r=8
    )
    found = file_deltas(export_gguf_adapter(selection, tmp_path / "out"))
    for name, delta in peft_deltas(selection).items():
        np.testing.assert_allclose(found[name], delta, rtol=1e-5, atol=1e-7)


def test_where_one_scale_fits_all_no_bit_of_the_matrices_changes(plain, tmp_path):
    from safetensors.torch import load_file

    path = export_gguf_adapter(plain, tmp_path / "out")
    own = load_file(plain.adapter.path / "adapter_model.safetensors")
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
    assert len(tensors) == len(own) == 16
    for key, value in own.items():
        module, _, side = key.removeprefix("base_model.model.model.layers.").partition(".lora_")
        number, _, name = module.partition(".")
        stored = tensors[f"blk.{number}.{NAMES[name]}.weight.lora_{side[0].lower()}"]
        assert np.array_equal(stored, value.numpy())


def test_half_precision_is_near_and_half_as_large(plain, tmp_path):
    whole = export_gguf_adapter(plain, tmp_path / "whole")
    half = export_gguf_adapter(plain, tmp_path / "half", "f16")
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    kinds = {tensor.tensor_type.name for tensor in GGUFReader(half).tensors}
    assert kinds == {"F16"}
    found = file_deltas(half)
    for name, delta in peft_deltas(plain).items():
        np.testing.assert_allclose(found[name], delta, atol=2e-3 * np.abs(delta).max())


def test_numbers_too_large_for_half_precision_are_told(plain, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(plain.adapter.path, tmp_path / "adapter")
    weights = load_file(folder / "adapter_model.safetensors")
    first = next(iter(weights))
    weights[first][0, 0] = 1e6
    save_file(weights, folder / "adapter_model.safetensors")
    large = plain._replace(adapter=read_adapter_info(folder))
    with pytest.raises(AdapterError, match=r"1e\+06.*--outtype f32"):
        export_gguf_adapter(large, tmp_path / "half", "f16")
    assert not (tmp_path / "half").exists()
    export_gguf_adapter(large, tmp_path / "whole")
    weights[first][0, 0] = torch.nan
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="not finite"):
        export_gguf_adapter(large, tmp_path / "nan")


def test_the_head_of_the_file_says_what_llama_cpp_asks_for(plain, tmp_path):
    reader = GGUFReader(export_gguf_adapter(plain, tmp_path / "out"))
    assert field(reader, "general.type") == "adapter"
    assert field(reader, "general.architecture") == "qwen2"
    assert field(reader, "adapter.type") == "lora"
    assert field(reader, "adapter.lora.alpha") == 8
    assert field(reader, "theobot.prompt_format") == "seed"
    assert field(reader, "theobot.adapter_sha256") == plain.adapter.sha256()


def test_the_same_adapter_gives_the_same_bytes(plain, tmp_path):
    paths = [export_gguf_adapter(plain, tmp_path / name) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("prompt_format", ["seed", "chat"])
def test_the_account_and_the_prompt_format_lie_beside_it(
    make_adapter, tmp_path, prompt_format: PromptFormat
):
    selection = make_adapter(prompt_format=prompt_format)
    export_gguf_adapter(selection, tmp_path / "out")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    template = {"chat_template.jinja"} if prompt_format == "seed" else set()
    assert files == {"adapter.gguf", "export.json"} | template
    if template:
        text = (tmp_path / "out" / "chat_template.jinja").read_text()
        assert text == SEED_CHAT_TEMPLATE
    account = json.loads((tmp_path / "out" / "export.json").read_text())
    assert account["kind"] == "gguf adapter"
    assert account["prompt_format"] == prompt_format
    assert account["adapter_sha256"] == selection.adapter.sha256()
    assert "/" not in account["base_model"], "no path of this machine"


def test_a_qwen_adapter_needs_nothing_of_its_base(tmp_path):
    """The shapes of the Qwen2.5 models are known, so that no base need be on this machine."""
    from safetensors.torch import save_file

    folder = tmp_path / "adapter"
    folder.mkdir()
    module = "base_model.model.model.layers.27.self_attn.k_proj.lora_"
    weights = {f"{module}A.weight": torch.ones(2, 3584), f"{module}B.weight": torch.ones(512, 2)}
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["k_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    selection = Selection("Qwen/Qwen2.5-7B-Instruct", read_adapter_info(folder), None, "")
    path = export_gguf_adapter(selection, tmp_path / "out")
    names = [tensor.name for tensor in GGUFReader(path).tensors]
    assert names == ["blk.27.attn_k.weight.lora_a", "blk.27.attn_k.weight.lora_b"]
    smaller = selection._replace(model="Qwen/Qwen2.5-1.5B-Instruct")
    with pytest.raises(AdapterError, match=r"another base.*3584 to 512.*--model"):
        export_gguf_adapter(smaller, tmp_path / "no")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save: \['lm_head'\]"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"bias": "all"}, "bias: all"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_gguf_cannot_hold_is_refused_with_the_reason(make_adapter, tmp_path, settings, reason):
    with pytest.raises(AdapterError, match=rf"{reason}.*export gguf --merged"):
        export_gguf_adapter(make_adapter(**settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_reasons_are_told_at_once(make_adapter, tmp_path):
    selection = make_adapter(use_dora=True, modules_to_save=["lm_head"])
    with pytest.raises(AdapterError, match=r"DoRA.*modules_to_save"):
        export_gguf_adapter(selection, tmp_path / "out")


def test_another_architecture_is_refused(plain, tmp_path):
    from transformers import LlamaConfig

    LlamaConfig(hidden_size=32, num_attention_heads=4).save_pretrained(tmp_path / "llama")
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / "llama" / name).touch()
    with pytest.raises(AdapterError, match=r"is a llama.*convert_lora_to_gguf"):
        export_gguf_adapter(plain._replace(model=str(tmp_path / "llama")), tmp_path / "out")


def test_a_damaged_adapter_is_told(plain, tmp_path):
    folder = shutil.copytree(plain.adapter.path, tmp_path / "adapter")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(AdapterError, match="damaged"):
        export_gguf_adapter(plain._replace(adapter=read_adapter_info(folder)), tmp_path / "out")


def test_a_folder_with_something_in_it_is_left_alone(plain, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="nothing was overwritten"):
        export_gguf_adapter(plain, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
