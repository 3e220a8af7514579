"""Exactness: packed passes are the seed's mathematics."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from theobot.config import TokenSettings, TrainSettings
from theobot.data.batches import flatten, pack
from theobot.data.examples import read_examples
from theobot.data.tokens import TokenRow, tokenize_rows
from theobot.errors import ModelError
from theobot.run_folder import RunFolder
from theobot.training.attention import SEGMENTED
from theobot.training.head import install_flat_forward
from theobot.training.trainer import PackedTrainer, collate


@pytest.fixture
def rows(rows_file: Path, tiny_tokenizer) -> list[TokenRow]:
    return tokenize_rows(read_examples(rows_file), tiny_tokenizer, TokenSettings())


def with_adapter(model, dropout: float = 0.0):
    torch.manual_seed(3)
    model.config.use_cache = False
    tuned = get_peft_model(
        model,
        LoraConfig(
            r=4, lora_alpha=8, lora_dropout=dropout, target_modules=["q_proj", "v_proj", "o_proj"]
        ),
    )
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return tuned


def gradients(model) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def separate_passes(model, rows: list[TokenRow]) -> tuple[float, torch.Tensor]:
    """16 unpadded passes with Hugging Face's own loss, weighted by scored tokens."""
    scored = sum(row.scored for row in rows)
    total = 0.0
    for row in rows:
        ids = torch.tensor([row.input_ids])
        labels = ids.clone()
        labels[0, : row.learned_from] = -100
        loss = model(input_ids=ids, labels=labels).loss * row.scored / scored
        loss.backward()
        total += loss.item()
    return total, gradients(model)


def packed_step(model, rows: list[TokenRow], budget: int, folder: Path, **kwargs):
    base = model.get_base_model()
    base.set_attn_implementation(SEGMENTED)
    install_flat_forward(base)
    settings = TrainSettings.model_validate({"training": {"bf16": False}})
    trainer = PackedTrainer(
        model, settings, RunFolder(folder), rows, [], pass_tokens=budget, on_note=print, **kwargs
    )
    loss = trainer.training_step(model, collate([row._asdict() for row in rows]))
    return loss.item(), gradients(model)


@pytest.mark.parametrize("budget", [60, 300, 5000])
def test_gradients_of_a_packed_step_equal_those_of_separate_passes(
    tiny_base_folder, rows, budget, tmp_path
):
    from transformers import AutoModelForCausalLM

    def fresh():
        return with_adapter(AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32"))

    step = rows[:16]
    loss, expected = separate_passes(fresh(), step)
    packed_loss, packed = packed_step(fresh(), step, budget, tmp_path)
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert (packed - expected).norm() / expected.norm() < 1e-5


def test_loss_equals_hugging_faces_own_on_the_same_rows(tiny_model, rows, tmp_path):
    model = with_adapter(tiny_model)
    longest = max(len(row.input_ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        length = len(row.input_ids)
        ids[number, :length] = torch.tensor(row.input_ids)
        labels[number, row.learned_from : length] = ids[number, row.learned_from : length]
        mask[number, :length] = 1
    expected = model(input_ids=ids, attention_mask=mask, labels=labels).loss.item()
    loss, _ = packed_step(model, rows, 400, tmp_path)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_changing_one_row_leaves_its_neighbours_logits_unchanged(tiny_model, rows):
    tiny_model.set_attn_implementation(SEGMENTED)

    def hidden(group):
        flat = flatten(group, "cpu")
        return tiny_model.get_decoder()(
            input_ids=flat.input_ids,
            position_ids=flat.position_ids,
            use_cache=False,
            segments=flat.segments,
        ).last_hidden_state[0]

    first, middle, last = rows[3], rows[4], rows[2]
    other = middle._replace(input_ids=[7] * len(middle.input_ids))
    before, after = hidden([first, middle, last]), hidden([first, other, last])
    a, b = len(first.input_ids), len(first.input_ids) + len(middle.input_ids)
    assert torch.equal(before[:a], after[:a])
    assert torch.equal(before[b:], after[b:])
    assert not torch.allclose(before[a:b], after[a:b])


def test_out_of_memory_halves_the_pass_and_keeps_the_step(tiny_base_folder, rows, tmp_path):
    from transformers import AutoModelForCausalLM

    def fresh():
        return with_adapter(AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32"))

    step = rows[:16]
    _, expected = packed_step(fresh(), step, 5000, tmp_path)
    model, limit = fresh(), 200

    def refuse_long_passes(module, args, kwargs):
        if "flat" in kwargs and kwargs["flat"].input_ids.shape[1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(refuse_long_passes, with_kwargs=True)
    _, found = packed_step(model, step, 5000, tmp_path)
    assert (found - expected).norm() / expected.norm() < 1e-5


def test_out_of_memory_with_one_row_ends_with_a_sentence(tiny_model, rows, tmp_path):
    model = with_adapter(tiny_model)

    def refuse(module, args, kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(refuse, with_kwargs=True)
    with pytest.raises(ModelError, match="single row"):
        packed_step(model, rows[:4], 1000, tmp_path)


def test_other_runtime_errors_are_not_taken_for_out_of_memory(tiny_model, rows, tmp_path):
    model = with_adapter(tiny_model)

    def refuse(module, args, kwargs):
        raise RuntimeError("shape mismatch")

    model.register_forward_pre_hook(refuse, with_kwargs=True)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        packed_step(model, rows[:4], 1000, tmp_path)


def test_dev_loss_is_weighted_by_tokens(tiny_model, rows, tmp_path):
    model = with_adapter(tiny_model)
    nats = tokens = 0.0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.input_ids])
            labels = ids.clone()
            labels[0, : row.learned_from] = -100
            nats += model(input_ids=ids, labels=labels).loss.item() * row.scored
            tokens += row.scored
    base = model.get_base_model()
    base.set_attn_implementation(SEGMENTED)
    install_flat_forward(base)
    settings = TrainSettings.model_validate({"training": {"bf16": False}})
    trainer = PackedTrainer(
        model, settings, RunFolder(tmp_path), rows, rows, pass_tokens=90, on_note=print
    )
    assert trainer.evaluate()["eval_loss"] == pytest.approx(nats / tokens, rel=1e-5)
    assert not math.isnan(nats)


def test_every_group_of_a_packing_fits_the_budget():
    lengths = [50, 30, 80, 10, 10, 70, 120]
    groups = pack(lengths, 100)
    assert sorted(index for group in groups for index in group) == list(range(7))
    assert all(sum(lengths[i] for i in g) <= 100 or len(g) == 1 for g in groups)
    assert len(groups) == 4
