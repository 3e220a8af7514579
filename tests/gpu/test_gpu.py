"""What only a GPU can show; `make gpu-check` runs these, on NVIDIA and AMD alike."""

from __future__ import annotations

import pytest
import torch

from theobot.config import TokenSettings
from theobot.data.batches import flatten
from theobot.data.examples import read_examples
from theobot.data.tokens import tokenize_rows
from theobot.doctor.machine import Machine
from theobot.doctor.torch_child import look_at_torch
from theobot.model.device import choose_compute
from theobot.training.attention import SEGMENTED, lay_out
from theobot.training.head import install_flat_forward

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm GPU"),
]


def test_loss_on_the_gpu_equals_the_cpus(tiny_model, tiny_tokenizer, rows_file):
    rows = tokenize_rows(read_examples(rows_file), tiny_tokenizer, TokenSettings())
    tiny_model.requires_grad_(False)
    tiny_model.set_attn_implementation(SEGMENTED)
    install_flat_forward(tiny_model)
    with torch.no_grad():
        on_cpu = tiny_model(flat=flatten(rows, "cpu")).loss.item()
        on_gpu = tiny_model.cuda()(flat=flatten(rows, "cuda")).loss.item()
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4)


def test_rows_do_not_see_each_other_in_bfloat16(tiny_model, tiny_tokenizer, rows_file):
    rows = tokenize_rows(read_examples(rows_file), tiny_tokenizer, TokenSettings())
    model = tiny_model.cuda().to(torch.bfloat16)
    model.set_attn_implementation(SEGMENTED)

    def hidden(group):
        flat = flatten(group, "cuda")
        return model.get_decoder()(
            input_ids=flat.input_ids,
            position_ids=flat.position_ids,
            use_cache=False,
            layout=lay_out(flat.segments, flat.input_ids.device),
        ).last_hidden_state[0]

    other = rows[1]._replace(input_ids=[7] * len(rows[1].input_ids))
    length = len(rows[0].input_ids)
    with torch.no_grad():
        before, after = hidden([rows[0], rows[1]]), hidden([rows[0], other])
    assert torch.equal(before[:length], after[:length])


def test_the_gpu_is_chosen_and_named():
    compute = choose_compute()
    assert compute.device.type == "cuda"
    assert torch.cuda.get_device_name() in compute.sentence()


def test_the_doctor_finds_the_gpu_sound():
    found = look_at_torch(Machine())
    assert found.ended is None
    assert found.available
    assert found.devices[0].name == torch.cuda.get_device_name()
    assert found.bf16.verdict == "works"
    assert "works" in {trial.verdict for trial in found.attention}
