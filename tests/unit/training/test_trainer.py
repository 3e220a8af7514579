"""Exactness: packed passes are the seed's mathematics."""

from __future__ import annotations

import math
import weakref
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from theobot.config import TokenSettings, TrainSettings
from theobot.data.batches import flatten, pack
from theobot.data.examples import read_examples
from theobot.data.tokens import TokenRow, tokenize_rows
from theobot.errors import ModelError
from theobot.run_folder import RunFolder
from theobot.training.attention import SEGMENTED, lay_out
from theobot.training.fused import fuse
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
    fuse(model)
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
            layout=lay_out(flat.segments, torch.device("cpu")),
        ).last_hidden_state[0]

    first, middle, last = rows[3], rows[4], rows[2]
    other = middle._replace(input_ids=[7] * len(middle.input_ids))
    before, after = hidden([first, middle, last]), hidden([first, other, last])
    a, b = len(first.input_ids), len(first.input_ids) + len(middle.input_ids)
    assert torch.equal(before[:a], after[:a])
    assert torch.equal(before[b:], after[b:])
    assert not torch.allclose(before[a:b], after[a:b])


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
    fuse(model)
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


def a_run(base_folder: Path, rows: list[TokenRow], folder: Path, *, budget: int = 400, **settings):
    """A trainer of its own for three steps of up to 8 rows, and the list of its notes."""
    from transformers import AutoModelForCausalLM

    model = with_adapter(AutoModelForCausalLM.from_pretrained(base_folder, dtype="float32"))
    base = model.get_base_model()
    base.set_attn_implementation(SEGMENTED)
    install_flat_forward(base)
    fuse(model)
    training = {"bf16": False, "num_train_epochs": 2, "gradient_accumulation_steps": 8}
    notes: list[str] = []
    trainer = PackedTrainer(
        model,
        TrainSettings.model_validate({"training": {**training, **settings}}),
        RunFolder(folder),
        rows,
        [],
        pass_tokens=budget,
        on_note=notes.append,
    )
    return trainer, notes


class PlainTrainer(Trainer):
    """transformers' own, one unpadded row at a time, in the order given."""

    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(dataset if dataset is not None else self.train_dataset)


def test_the_loss_curve_is_that_of_the_plain_trainer(tiny_base_folder, rows, tmp_path):
    """30 steps of 16 rows in the same order: fused and packed, or one row at a time by itself."""
    from transformers import AutoModelForCausalLM

    schedule = {"gradient_accumulation_steps": 16, "num_train_epochs": 15, "learning_rate": 2e-3}
    rows = (rows * 2)[:32]
    ours, _ = a_run(tiny_base_folder, rows, tmp_path, budget=200, **schedule)
    order = [index for step in ours._steps() for index in step]
    items = [
        {
            "input_ids": rows[index].input_ids,
            "labels": [-100] * rows[index].learned_from
            + rows[index].input_ids[rows[index].learned_from :],
        }
        for index in order
    ]
    plain = PlainTrainer(
        model=with_adapter(AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")),
        args=TrainingArguments(
            output_dir=str(tmp_path / "plain"),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=16,
            num_train_epochs=1,
            learning_rate=2e-3,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.0,
            optim="adamw_torch",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            remove_unused_columns=False,
        ),
        train_dataset=items,
        data_collator=lambda batch: {
            name: torch.tensor([batch[0][name]]) for name in ("input_ids", "labels")
        },
    )
    curves = []
    for trainer in (ours, plain):
        trainer.train()
        curves.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert len(curves[0]) == len(curves[1]) == 30
    assert curves[0][-1] < 0.9 * curves[0][0], "something was learned"
    assert max(abs(a - b) for a, b in zip(*curves, strict=True)) < 1e-4


def first_layer(trainer: PackedTrainer) -> torch.nn.Module:
    return trainer.model.get_base_model().model.layers[0]


def adapter(trainer: PackedTrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])


class Memory:
    """Runs out in a layer when a pass has more tokens than fit at this step."""

    def __init__(self, trainer: PackedTrainer, room: list[int], *, backward: bool = False) -> None:
        self.trainer, self.room = trainer, room
        self.left_over: list[weakref.ref[torch.Tensor]] = []
        first, second = trainer.model.get_base_model().model.layers
        first.register_forward_pre_hook(self.forward)
        if backward:
            second.register_full_backward_pre_hook(self.backward)
        self.in_forward = not backward

    def forward(self, layer: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        self.left_over = [ref for ref in self.left_over if ref() is not None]
        self.still_there = len(self.left_over)
        self.tokens = arguments[0].shape[1]
        if self.in_forward:
            self.check(arguments[0])

    def backward(self, layer: torch.nn.Module, gradients: tuple[torch.Tensor, ...]) -> None:
        self.check(gradients[0])

    def check(self, tensor: torch.Tensor) -> None:
        step = min(self.trainer.state.global_step, len(self.room) - 1)
        assert self.still_there == 0, "tensors of the failed pass were kept"
        if self.tokens > self.room[step]:
            self.left_over.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("backward", [False, True])
def test_out_of_memory_at_three_budgets_leaves_the_adapter_as_it_was(
    tiny_base_folder, rows, tmp_path, backward
):
    undisturbed, notes = a_run(tiny_base_folder, rows, tmp_path / "a")
    undisturbed.train()
    assert notes == []
    disturbed, notes = a_run(tiny_base_folder, rows, tmp_path / "b")
    Memory(disturbed, [1000, 250, 250, 150, 90], backward=backward)
    disturbed.train()
    assert (adapter(disturbed) - adapter(undisturbed)).abs().max() < 1e-6
    assert [note.split(" with")[0] for note in notes] == [
        "Out of memory at step 2",
        "Out of memory at step 4",
        "Out of memory at step 5",
    ]
    assert f"at most {disturbed.pass_tokens}." in notes[-1]
    assert disturbed.tokens_seen == undisturbed.tokens_seen
    for found, expected in zip(
        disturbed.state.log_history, undisturbed.state.log_history, strict=True
    ):
        assert found.get("loss", 0) == pytest.approx(expected.get("loss", 0), rel=1e-5)


def test_before_the_first_step_the_budget_is_made_to_fit(tiny_base_folder, rows, tmp_path):
    trainer, notes = a_run(tiny_base_folder, rows, tmp_path)
    Memory(trainer, [100])
    trainer.train()
    assert len(notes) == 2
    assert all("before the first step" in note for note in notes)
    assert trainer.pass_tokens <= 100


def test_a_row_that_does_not_fit_ends_the_run_before_the_first_step(
    tiny_base_folder, rows, tmp_path
):
    trainer, _ = a_run(tiny_base_folder, rows, tmp_path)
    longest = max(len(row.input_ids) for row in rows)
    Memory(trainer, [longest - 1])
    with pytest.raises(ModelError, match=f"before the first step with a single row of {longest}"):
        trainer.train()
    assert trainer.state.global_step == 0


class Careless(PackedTrainer):
    """A trainer that begins without trying anything."""

    def try_worst_passes(self, model: torch.nn.Module) -> None:
        pass


def test_trying_the_worst_passes_changes_nothing(tiny_base_folder, rows, tmp_path):
    trainer, _ = a_run(tiny_base_folder, rows, tmp_path / "a", budget=150)
    sizes: list[int] = []
    first_layer(trainer).register_forward_pre_hook(
        lambda layer, arguments: sizes.append(arguments[0].shape[1])
    )
    trainer.train()
    longest = max(len(row.input_ids) for row in rows)
    assert sizes[:2] == [longest, max(sizes[2:])]
    careless, _ = a_run(tiny_base_folder, rows, tmp_path / "b", budget=150)
    careless.__class__ = Careless
    careless.train()
    assert torch.equal(adapter(trainer), adapter(careless))


def test_dropout_of_a_step_does_not_depend_on_what_was_drawn_before(
    tiny_base_folder, rows, tmp_path
):
    trainer, _ = a_run(tiny_base_folder, rows, tmp_path)
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Identity):
            continue
        for name, child in module.named_children():
            if name == "lora_dropout":
                child["default"] = torch.nn.Dropout(0.5)
    inputs = collate([row._asdict() for row in rows[:8]])
    first = trainer.training_step(trainer.model, inputs)
    torch.rand(7)
    again = trainer.training_step(trainer.model, inputs)
    trainer.state.global_step = 1
    other = trainer.training_step(trainer.model, inputs)
    assert first == again
    assert other != first


def test_a_loss_that_is_no_number_stops_with_the_rows_and_sound_weights(
    tiny_base_folder, rows, tmp_path
):
    trainer, _ = a_run(tiny_base_folder, rows, tmp_path)
    bad = rows[11].input_ids

    def spoil(module, arguments, output):
        for start in range(arguments[0].shape[1] - len(bad) + 1):
            if arguments[0][0, start : start + len(bad)].tolist() == bad:
                output = output.clone()
                output[0, start] = torch.nan
        return output

    def sound_before(optimizer, *arguments):
        assert all(p.grad.isfinite().all() for g in optimizer.param_groups for p in g["params"]), (
            "the optimiser was given a broken gradient"
        )

    trainer.create_optimizer()
    trainer.optimizer.register_step_pre_hook(sound_before)
    trainer.model.get_base_model().model.embed_tokens.register_forward_hook(spoil)
    with pytest.raises(ModelError) as caught:
        trainer.train()
    assert f"the loss is nan with {rows[11].where}." in str(caught.value)
    assert str(caught.value).startswith(f"Step {trainer.state.global_step + 1}: ")
    assert adapter(trainer).isfinite().all()


def test_a_gradient_that_is_no_number_stops_before_the_weights_change(
    tiny_base_folder, rows, tmp_path
):
    trainer, _ = a_run(tiny_base_folder, rows, tmp_path)

    def spoil(layer, gradients_in, gradients_out):
        if trainer.state.global_step == 2:
            return (gradients_in[0] * torch.inf,)
        return None

    layer = trainer.model.get_base_model().model.layers[1]
    layer.register_full_backward_hook(spoil)
    with pytest.raises(ModelError, match="Step 3: the gradient's norm is"):
        trainer.train()
    assert adapter(trainer).isfinite().all()
