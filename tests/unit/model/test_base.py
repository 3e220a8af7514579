"""Finding and loading the base model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from theobot.errors import ModelError, SettingsError
from theobot.model.base import (
    four_bit_config,
    is_hub_id,
    load_base,
    load_config,
    load_tokenizer,
    public_name,
    resolve_model,
)
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


def test_in_4_bits_all_but_linear_layers_stay_and_gradients_survive_a_dev_loss(folder):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    bf16 = CPU._replace(dtype=torch.bfloat16)
    model, _ = load_base(str(folder), bf16, load_in_4bit=True)
    kinds = {type(part) for name, part in model.named_modules() if name.endswith("_proj")}
    assert kinds == {bitsandbytes.nn.Linear4bit}
    assert type(model.get_output_embeddings()) is torch.nn.Linear
    rest = [p for name, p in model.named_parameters() if not name.endswith("_proj.weight")]
    assert {parameter.dtype for parameter in rest} == {torch.bfloat16}

    exact, _ = load_base(str(folder), bf16)
    ids, x = torch.arange(20).unsqueeze(0), torch.randn(5, 64, dtype=torch.bfloat16)
    rounded, right = (part.model.layers[1].mlp.down_proj(x) for part in (model, exact))
    assert 0.02 < (rounded - right).norm() / right.norm() < 0.2

    def gradient() -> torch.Tensor:
        vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
        model.train()(inputs_embeds=vectors).logits.sum().backward()
        assert vectors.grad is not None
        return vectors.grad

    before = gradient()
    with torch.no_grad():
        model.eval()(ids)
    assert torch.equal(gradient(), before)


def test_4_bits_that_fail_on_a_device_are_refused_with_the_reason():
    pytest.importorskip("bitsandbytes")
    with pytest.raises(SettingsError, match=r"load_in_4bit = true.*does not work on meta"):
        four_bit_config(CPU._replace(device=torch.device("meta")))


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


def test_weights_that_are_not_there_are_never_made_up(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = "model.layers.1.mlp.down_proj.weight"
    save_file({key: value for key, value in weights.items() if key != name}, file, {"format": "pt"})
    with pytest.raises(ModelError, match=rf"{name} not found among its weights\. .*fetch"):
        load_base(str(folder), CPU)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"num_hidden_layers": 3, "layer_types": None},
            r"layers\.2\.\S+ and 11 more not found",
        ),
        ({"intermediate_size": 128}, r"down_proj\.weight is \(32, 64\), but .* \(32, 128\)"),
    ],
)
def test_a_config_of_another_model_is_refused(folder, changes, sentence):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelError, match=sentence):
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


def test_a_path_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("owner/name")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    for name in ("owner/name", "rows.jsonl", "data/rows.jsonl", "./a/b", "../b", "owner/a/b"):
        assert not is_hub_id(name)


def test_the_name_for_others_tells_no_path(tmp_path):
    assert public_name(str(tmp_path)) == tmp_path.name
    for name in ("Qwen/Qwen2.5-7B-Instruct", "nano"):
        assert public_name(name) == name


def test_code_in_a_models_folder_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}}
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_config(str(folder))


def in_parts(folder: Path, shard: object) -> None:
    """Turn a model into one of a single shard that its index names so; the shard lies in it."""
    weights = folder / "model.safetensors"
    names = dict.fromkeys(load_file(weights), shard)
    weights.rename(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def in_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The same model as one that was fetched from the Hub before."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    repository = cache / "models--acme--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    shutil.copytree(folder, repository / "snapshots" / "abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return "acme/tiny"


@pytest.mark.parametrize("parted", [True, False])
def test_a_model_loads_from_a_folder_and_from_the_cache(folder, parted, monkeypatch, tmp_path):
    if parted:
        in_parts(folder, "model-00001-of-00001.safetensors")
    for model in (str(folder), in_the_cache(folder, monkeypatch, tmp_path)):
        base, _ = load_base(model, CPU)
        assert base.num_parameters() > 0


@pytest.mark.parametrize(
    "shard",
    [
        "../elsewhere/model.safetensors",
        "{elsewhere}/model.safetensors",
        "..\\elsewhere\\model.safetensors",
        "pytorch_model.bin",
        5,
        ["model.safetensors"],
    ],
)
def test_an_index_names_safetensors_of_its_own_folder_alone(folder, shard, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(folder / "model.safetensors", elsewhere)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    in_parts(folder, shard.format(elsewhere=elsewhere) if isinstance(shard, str) else shard)
    for model in (str(folder), in_the_cache(folder, monkeypatch, tmp_path)):
        with pytest.raises(ModelError, match=r"names the file .* expected|is damaged"):
            load_base(model, CPU)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"weight_map": {}, "metadata": {}}',
        '{"weight_map": {"a": "b.safetensors"}}',
        '{"weight_map": [], "metadata": {}}',
        '{"weight_map": {"a": "b.safetensors"}, "metadata": []}',
        "[" * 100_000,
    ],
)
def test_a_damaged_index_ends_in_a_sentence(folder, text):
    in_parts(folder, "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match=r"index\.json is damaged\. .*fetch"):
        load_base(str(folder), CPU)


@pytest.mark.parametrize("file", ["adapter_model.bin", "other.safetensors"])
def test_a_config_names_no_weights_of_its_own(folder, file):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": file}))
    torch.save(load_file(folder / "model.safetensors"), folder / "adapter_model.bin")
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    with pytest.raises(ModelError, match="sets transformers_weights to"):
        load_base(str(folder), CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "x"},
        {"num_attention_heads": 0},
        {"vocab_size": -5},
        {"pad_token_id": 10**9},
        {"rope_parameters": {"rope_type": "x"}},
    ],
)
def test_a_config_that_no_model_can_have_ends_in_a_sentence(folder, change):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=r"cannot be loaded: .*Error: .* damaged or missing"):
        load_base(str(folder), CPU)


@pytest.mark.parametrize(
    "text", ["[]", '{"model_type": 5}', "{", '{"model_type": "qwen2", "hidden_size": "x"}']
)
def test_a_damaged_config_ends_in_a_sentence(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_config(str(folder))


def test_a_damaged_tokenizer_ends_in_a_sentence(folder):
    (folder / "tokenizer.json").write_text('{"model": 5}')
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_tokenizer(str(folder))
