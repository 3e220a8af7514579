"""Adapters: sound ones load like plain PEFT, others are refused in a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from theobot.config import TrainSettings
from theobot.errors import AdapterError, RunError
from theobot.model.adapter import load_adapter, lora_config, read_adapter_info, select
from theobot.run_folder import RunFolder, write_json


@pytest.fixture
def adapter(tiny_adapter_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_adapter_folder, tmp_path / "adapter"))


def change_config(adapter: Path, **changes: object) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def make_run(path: Path, adapter: Path | None, status: str = "finished", **state: object) -> Path:
    run = RunFolder(path)
    run.make()
    write_json(run.config, TrainSettings(model="nano").model_dump(mode="json"))
    run.update_state(status=status, **state)
    if adapter is not None:
        shutil.copytree(adapter, run.adapter)
    return path


def test_logits_equal_those_of_plain_peft(tiny_base_folder, tiny_model, adapter):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = torch.arange(20).unsqueeze(0)
    plain = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32"), adapter
    ).eval()
    ours = load_adapter(tiny_model, read_adapter_info(adapter))
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, plain(ids).logits)
        with ours.disable_adapter():
            assert not torch.allclose(ours(ids).logits, plain(ids).logits)


def test_the_adapter_stays_float32_over_a_bfloat16_base(tiny_base_folder, adapter):
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="bfloat16")
    model = load_adapter(base, read_adapter_info(adapter))
    kinds = {p.dtype for name, p in model.named_parameters() if "lora_" in name}
    assert kinds == {torch.float32}


def test_a_plain_peft_folder_is_taken_as_the_seeds_format(adapter):
    info = read_adapter_info(adapter)
    assert info.prompt_format == "seed"
    assert not info.prompt_format_known
    (adapter / "theobot.json").write_text('{"prompt_format": "chat"}')
    info = read_adapter_info(adapter)
    assert (info.prompt_format, info.prompt_format_known) == ("chat", True)


def test_a_path_in_the_config_is_never_followed(adapter):
    for named in ("/etc/model", "../model", "~/model", "C:\\model", 5, None):
        change_config(adapter, base_model_name_or_path=named)
        assert read_adapter_info(adapter).base_model is None
    for named in ("nano", "Qwen/Qwen2.5-7B-Instruct"):
        change_config(adapter, base_model_name_or_path=named)
        assert read_adapter_info(adapter).base_model == named
    Path("models/tiny").mkdir(parents=True)
    change_config(adapter, base_model_name_or_path="models/tiny")
    assert read_adapter_info(adapter).base_model is None


def test_missing_and_unsafe_weights_are_told_apart(adapter):
    with pytest.raises(AdapterError, match="no adapter here"):
        read_adapter_info(adapter / "nowhere")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"adapter_model\.bin.*never loaded"):
        read_adapter_info(adapter)
    (adapter / "adapter_model.bin").unlink()
    with pytest.raises(AdapterError, match="no weights"):
        read_adapter_info(adapter)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": "IA3"}, "is a IA3 adapter"),
        ({"alora_invocation_tokens": [1]}, "uses alora_invocation_tokens"),
        ({"from_the_future": True}, "uses from_the_future"),
    ],
)
def test_configs_theobot_does_not_know_are_refused(adapter, changes, sentence):
    change_config(adapter, **changes)
    with pytest.raises(AdapterError, match=sentence):
        read_adapter_info(adapter)


def test_damaged_files_are_told_as_damaged(adapter, tiny_model):
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(AdapterError, match="damaged"):
        load_adapter(tiny_model, read_adapter_info(adapter))
    (adapter / "theobot.json").write_text('{"prompt_format": "morse"}')
    with pytest.raises(AdapterError, match="morse"):
        read_adapter_info(adapter)
    (adapter / "adapter_config.json").write_text("[]")
    with pytest.raises(AdapterError, match="JSON object"):
        read_adapter_info(adapter)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="damaged"):
        read_adapter_info(adapter)


LAYER = "base_model.model.model.layers.0.self_attn"


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda held: {key: value for key, value in held.items() if "layers.1" not in key},
            r"no base_model.*layers\.1.*4 missing, 0 too many",
        ),
        (
            lambda held: {**held, f"{LAYER}.k_proj.lora_A.weight": torch.zeros(4, 32)},
            r"k_proj.* besides \(0 missing, 1 too many",
        ),
        (
            lambda held: {f"x.{key}": value for key, value in held.items()},
            "another base.*no such layer",
        ),
        (
            lambda held: {**held, f"{LAYER}.q_proj.lora_A.weight": torch.zeros(32)},
            r"q_proj\.lora_A\.weight has 1 dimensions",
        ),
        (
            lambda held: {**held, f"{LAYER}.lora_A.weight": torch.zeros(4, 32)},
            "another base.*no such layer",
        ),
    ],
    ids=["half", "more", "other names", "flat", "a container"],
)
def test_weights_that_are_not_those_of_the_config_are_refused(
    adapter, tiny_model, change, sentence
):
    file = adapter / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)
    with pytest.raises(AdapterError, match=sentence):
        load_adapter(tiny_model, read_adapter_info(adapter))


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_second_adapter_must_be_whole_as_well(adapter, tiny_adapter_folder, tiny_model):
    file = adapter / "adapter_model.safetensors"
    save_file({key: part for key, part in load_file(file).items() if "q_proj" in key}, file)
    with pytest.raises(AdapterError, match="v_proj"):
        load_adapter(tiny_model, read_adapter_info(tiny_adapter_folder), read_adapter_info(adapter))


def test_an_adapter_for_another_base_is_refused_with_the_widths(adapter):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    def base(**changes):
        shape = {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        return Qwen2ForCausalLM(Qwen2Config(**{**shape, **changes}))

    info = read_adapter_info(adapter)
    with pytest.raises(AdapterError, match=r"another base.*width 32.*width 64"):
        load_adapter(base(hidden_size=64), info)
    with pytest.raises(AdapterError, match="no such layer"):
        load_adapter(base(num_hidden_layers=1), info)


def test_selection_follows_the_rules_of_the_command_line(adapter, tmp_path):
    with pytest.raises(RunError, match="No finished run"):
        select()
    old = make_run(Path("runs/old"), adapter)
    make_run(Path("runs/demo"), adapter, demo=True)
    make_run(Path("runs/stopped"), None, status="interrupted")
    chosen = select()
    assert chosen.run is not None
    assert (chosen.run.path, chosen.model) == (old, "nano")
    assert "newest" in chosen.note
    assert select(run=Path("runs/demo")).adapter is not None
    assert select(run=old, model="Qwen/Qwen2.5-0.5B-Instruct").model == "Qwen/Qwen2.5-0.5B-Instruct"
    with pytest.raises(RunError, match=r"interrupted.*--resume"):
        select(run=Path("runs/stopped"))
    with pytest.raises(RunError, match="is no run folder"):
        select(run=tmp_path)
    with pytest.raises(AdapterError, match="type one of them"):
        select(run=old, adapter=adapter)
    (Path("runs/stopped") / "state.json").write_text("{")
    assert select().note == f"{chosen.note} runs/stopped is damaged and left out."


def test_the_seeds_home_adapter_is_the_last_resort(adapter):
    change_config(adapter, base_model_name_or_path="Qwen/Qwen2.5-7B-Instruct")
    home = Path("~/Theobot/adapter").expanduser()
    shutil.copytree(adapter, home)
    chosen = select()
    assert chosen.model == "Qwen/Qwen2.5-7B-Instruct"
    assert "~/Theobot/adapter" in chosen.note
    assert "does not say its prompt format" in chosen.note


def test_an_adapter_without_a_known_base_asks_for_one(adapter):
    with pytest.raises(AdapterError, match="Type --model M"):
        select(adapter=adapter)
    assert select(adapter=adapter, model="nano").model == "nano"


def test_the_base_alone_needs_no_adapter():
    chosen = select(model="nano", base_only=True)
    assert chosen.adapter is None
    assert chosen.run is None


def test_weights_that_are_not_those_that_were_saved_are_damaged(adapter):
    notes = {"prompt_format": "chat", "weights_sha256": read_adapter_info(adapter).sha256()}
    (adapter / "theobot.json").write_text(json.dumps(notes))
    assert read_adapter_info(adapter).prompt_format == "chat"
    weights = bytearray((adapter / "adapter_model.safetensors").read_bytes())
    weights[-1] ^= 1
    (adapter / "adapter_model.safetensors").write_bytes(weights)
    with pytest.raises(AdapterError, match=r"damaged.*theobot train --output RUN --resume"):
        read_adapter_info(adapter)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"r": "16"}, "r: "),
        ({"r": 10**9}, "r: "),
        ({"r": True}, "r: "),
        ({"lora_alpha": [1]}, "lora_alpha"),
        ({"target_modules": [["q_proj"]]}, "target_modules"),
        ({"target_modules": "(" * 20_000}, "target_modules"),
        ({"rank_pattern": {"(a+)+$": 4}}, "rank_pattern"),
        ({"layers_pattern": "(a+)+$"}, "layers_pattern"),
        ({"task_type": {"x": 1}}, "task_type"),
    ],
)
def test_entries_of_the_wrong_kind_are_refused(adapter, changes, sentence):
    change_config(adapter, **changes)
    with pytest.raises(AdapterError, match=sentence):
        read_adapter_info(adapter)


@pytest.mark.parametrize("key", ["alpha_pattern", "rank_pattern", "use_dora", "layers_pattern"])
def test_an_entry_of_null_is_none(tiny_model, adapter, key):
    change_config(adapter, **{key: None})
    load_adapter(tiny_model, read_adapter_info(adapter))


def test_a_pattern_of_layers_means_the_layers_that_it_fits(tiny_model, adapter):
    change_config(adapter, target_modules=r".*\.(q|v)_proj")
    chosen = lora_config(read_adapter_info(adapter), tiny_model).target_modules
    assert chosen == {f"model.layers.{n}.self_attn.{part}_proj" for n in (0, 1) for part in "qv"}
    load_adapter(tiny_model, read_adapter_info(adapter))


@pytest.mark.parametrize("pattern", [r"(?:(\w|\.|\w\w)+)+\1{4}[0-9]", "("])
def test_a_pattern_that_takes_for_ever_is_refused(tiny_model, adapter, pattern):
    change_config(adapter, target_modules=pattern)
    with pytest.raises(AdapterError, match="no usable pattern"):
        load_adapter(tiny_model, read_adapter_info(adapter))


def test_a_pattern_that_fits_no_layer_is_refused(tiny_model, adapter):
    change_config(adapter, target_modules="nothing")
    with pytest.raises(AdapterError, match="fits no layer"):
        load_adapter(tiny_model, read_adapter_info(adapter))


def test_settings_of_a_run_that_cannot_be_used_end_in_a_sentence(adapter, tmp_path):
    run = make_run(tmp_path / "run", adapter)
    write_json(RunFolder(run).config, {"lora": {"r": "many"}, "sed": 1})
    with pytest.raises(RunError, match=r"config\.json: unknown setting sed") as caught:
        select(run=run)
    assert len(caught.value.problems) == 2
