"""A merged model: plain transformers loads it, and it answers as base + adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from theobot.data.prompt import Turn, render_prompt
from theobot.errors import ModelError, RunError
from theobot.export import merged as module
from theobot.export.merged import MergedExport, export_merged
from theobot.generation.local import LocalGenerator
from theobot.model.adapter import Selection, load_adapter

QUESTIONS = ["What is the main message of Deuteronomy 24:17?", "What is sin?", "Why pray?"]


@pytest.fixture(scope="module")
def done(plain: Selection, tmp_path_factory: pytest.TempPathFactory) -> MergedExport:
    (plain.adapter.path / "README.md").write_text(
        "<!-- figures: begin -->\n**Better in its domain.**\n<!-- figures: end -->\n"
    )
    notes: list[str] = []
    done = export_merged(
        plain, tmp_path_factory.mktemp("merged") / "out", device="cpu", on_note=notes.append
    )
    assert notes[0].startswith("Computing on the CPU")
    assert notes[1].startswith("This writes about")
    return done


def test_plain_transformers_loads_it_and_gives_the_answers(done, plain):
    """From the folder alone: the logits of base + adapter, and `generate` decodes as Theobot."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    model = AutoModelForCausalLM.from_pretrained(done.folder, dtype="float32")
    base = AutoModelForCausalLM.from_pretrained(plain.model, dtype="float32")
    tuned = load_adapter(base, plain.adapter)
    turns = [[Turn("user", question)] for question in QUESTIONS]
    answers = LocalGenerator(model, tokenizer, None).answer(
        turns, "base", prompt_format="seed", max_new_tokens=12
    )
    for conversation, answer in zip(turns, answers, strict=True):
        prompt = tokenizer(render_prompt(conversation, "seed"), return_tensors="pt")
        ids = model.generate(**prompt, max_new_tokens=12)
        text = tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text.partition("\nUser:")[0].strip() == answer.text
        with torch.no_grad():
            wanted, found = tuned(ids).logits, model(ids).logits
            with tuned.disable_adapter():
                change = (wanted - tuned(ids).logits).abs().max()
        gap = (wanted - found).abs().max()
        assert gap < 0.1 * change, "rounding to bfloat16 is small against what the adapter does"
        first, second = wanted.topk(2).values.unbind(-1)
        clear = first - second > 2 * gap
        assert clear.sum() > 5
        assert torch.equal(wanted.argmax(-1)[clear], found.argmax(-1)[clear])


def test_the_comparison_is_told_and_kept(done):
    found = done.fidelity
    assert found.compared == 8
    assert found.same_next_token > 0.9
    assert 0 < found.largest_logit_gap < 1
    account = json.loads((done.folder / "export.json").read_text())
    assert account["kind"] == "merged"
    assert account["fidelity"] == found._asdict()


def test_the_chat_template_asks_in_the_format_that_was_trained(done):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    turns = [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")]
    assert render_prompt(turns, "chat", tokenizer) == render_prompt(turns, "seed")


def test_a_chat_adapter_keeps_the_base_s_template_and_large_models_are_cut(
    make_adapter, tmp_path, qwen_folder, monkeypatch
):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(module, "SHARD", "300KB")
    export_merged(make_adapter(prompt_format="chat"), tmp_path / "out", device="cpu")
    template = (tmp_path / "out" / "chat_template.jinja").read_text()
    assert template == (qwen_folder / "chat_template.jinja").read_text()
    assert "the base's own chat template" in (tmp_path / "out" / "README.md").read_text()
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")


def test_the_generation_settings_are_neutral(done):
    settings = json.loads((done.folder / "generation_config.json").read_text())
    assert settings["do_sample"] is False
    assert settings["repetition_penalty"] == 1.0
    assert settings["eos_token_id"] == [2]
    assert "temperature" not in settings


def test_older_readers_find_the_entries_under_their_old_names(done):
    config = json.loads((done.folder / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10000.0
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"


def test_special_tokens_are_named_as_all_versions_of_transformers_read_them(done, plain):
    from transformers import AutoTokenizer

    saved = json.loads((done.folder / "tokenizer_config.json").read_text())
    assert saved["additional_special_tokens"] == ["<|im_start|>"]
    assert "extra_special_tokens" not in saved
    ours, own = (AutoTokenizer.from_pretrained(folder) for folder in (done.folder, plain.model))
    assert ours.all_special_tokens == own.all_special_tokens
    text = "<|im_start|>user\nWhat?<|im_end|>"
    assert ours(text)["input_ids"] == own(text)["input_ids"]


def test_whoever_reads_the_config_can_read_the_weights(done):
    modes = {path.stat().st_mode for path in done.folder.iterdir()}
    assert len(modes) == 1


def test_weights_are_bfloat16_safetensors(done):
    from safetensors.torch import load_file

    weights = load_file(done.folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert not list(done.folder.glob("*.bin"))


def test_notes_and_card_say_where_it_came_from(done, plain):
    notes = json.loads((done.folder / "theobot.json").read_text())
    assert notes["prompt_format"] == "seed"
    assert notes["adapter_sha256"] == plain.adapter.sha256()
    card = (done.folder / "README.md").read_text()
    assert plain.adapter.sha256() in card
    assert done.fidelity.sentence() in card
    assert "**Better in its domain.**" in card
    texts = [path.read_text() for path in done.folder.iterdir() if path.suffix != ".safetensors"]
    parent = str(Path(plain.model).parent)
    assert not any(parent in text for text in texts), "no path of this machine"


def test_a_folder_that_is_taken_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(RunError, match="nothing was overwritten"):
        export_merged(Selection("no/such-model", None, None, ""), tmp_path)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_a_merge_that_is_another_model_is_not_kept(tiny_base_folder, tmp_path):
    """LoRA on an embedding that is the head as well: once merged, it changes both."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from theobot.model.adapter import read_adapter_info

    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=64, target_modules=["embed_tokens"]))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_embedding_A" in name:
                parameter.normal_()
    model.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    selection = Selection(str(tiny_base_folder), read_adapter_info(tmp_path / "adapter"), None, "")
    with pytest.raises(ModelError, match=r"not base \+ adapter.*Nothing was kept"):
        export_merged(selection, tmp_path / "out", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
