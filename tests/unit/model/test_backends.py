"""Attentions are tried before they are used."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend

from theobot.errors import ModelError
from theobot.model.backends import (
    AttentionTrial,
    attention_results,
    choose_attention,
    largest_difference,
    probe_attention,
    row_by_row,
    settle_backends,
    try_attention,
)
from theobot.model.device import Compute

CARD = "a card"
CPU = torch.device("cpu")


def works(name: str, milliseconds: float) -> AttentionTrial:
    return AttentionTrial(name, "works", 0.01, milliseconds / 1e3)


def missing(name: str) -> AttentionTrial:
    return AttentionTrial(name, "unavailable", reason="not compiled for this card")


def wrong(name: str, difference: float = 0.8) -> AttentionTrial:
    return AttentionTrial(name, "wrong", difference)


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def on_this_cpu(request) -> dict[str, AttentionTrial]:
    return {trial.name: trial for trial in probe_attention(CPU, request.param)}


def test_a_cpu_has_flash_and_plain_attention_and_says_why_not_the_others(on_this_cpu):
    verdicts = {name: trial.verdict for name, trial in on_this_cpu.items()}
    assert verdicts == {
        "varlen": "unavailable",
        "flash": "works",
        "efficient": "unavailable",
        "cudnn": "unavailable",
        "math": "works",
    }
    for name in ("flash", "math"):
        assert on_this_cpu[name].difference < 0.05
        assert on_this_cpu[name].seconds > 0
    for name in ("varlen", "efficient", "cudnn"):
        assert on_this_cpu[name].reason
        assert on_this_cpu[name].seconds is None


def plain(query, key, value, *, causal=True):
    """Attention written out: (T, heads, D), (T, key/value heads, D) twice -> (T, heads, D)."""
    group = query.shape[1] // key.shape[1]
    q, k, v = (part.transpose(0, 1) for part in (query, key, value))
    k, v = (part.repeat_interleave(group, dim=0) for part in (k, v))
    scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
    if causal:
        scores = scores + torch.full(scores.shape[1:], -torch.inf).triu(1)
    return (scores.softmax(dim=-1) @ v).transpose(0, 1)


def sees_ahead(query, key, value):
    return plain(query, key, value, causal=False)


def forgets_the_gradient_of_keys(query, key, value):
    return plain(query, key.detach() + 0 * key, value)


def not_finite_in_the_backward_pass(query, key, value):
    output = plain(query, key, value)
    output.register_hook(lambda grad: grad * torch.nan)
    return output


def refuses(query, key, value):
    raise RuntimeError("No available kernel.\nAborting.")


def lacks_an_argument(query, key, value):
    raise TypeError("varlen_attn() got an unexpected keyword argument 'window_size'")


@pytest.fixture(scope="module")
def attempt():
    """Tries an attention on one row, with what is right of it known."""
    random = torch.Generator().manual_seed(0)
    q, k, v, grad = (torch.randn(33, heads, 8, generator=random) for heads in (4, 2, 2, 4))
    expected = attention_results(plain, [q, k, v], grad)
    return lambda attend: try_attention("flash", attend, [q, k, v], grad, expected)


def test_torchs_plain_attention_is_what_is_written_out(attempt):
    assert attempt(partial(row_by_row, SDPBackend.MATH, [33])).difference < 1e-5


@pytest.mark.parametrize("attend", [sees_ahead, forgets_the_gradient_of_keys])
def test_a_wrong_output_or_gradient_is_found(attempt, attend):
    trial = attempt(attend)
    assert trial.verdict == "wrong"
    assert trial.difference > 0.5
    assert trial.seconds is None


def test_what_is_not_finite_is_wrong(attempt):
    trial = attempt(not_finite_in_the_backward_pass)
    assert (trial.verdict, trial.difference) == ("wrong", float("inf"))


@pytest.mark.parametrize(
    ("attend", "reason"), [(refuses, "No available kernel."), (lacks_an_argument, "window_size")]
)
def test_what_torch_refuses_is_unavailable_with_its_reason(attempt, attend, reason):
    trial = attempt(attend)
    assert trial.verdict == "unavailable"
    assert reason in trial.reason
    assert "Aborting" not in trial.reason


def test_the_difference_is_a_share_of_the_largest_value_and_the_worst_of_all():
    right = [torch.tensor([1.0, -10.0]), torch.tensor([0.5, 2.0])]
    found = [torch.tensor([1.0, -9.0]), torch.tensor([0.5, 1.0])]
    assert largest_difference(right, right) == 0
    assert largest_difference(found, right) == pytest.approx(0.5)
    found[0][0] = torch.nan
    assert largest_difference(found, right) == float("inf")


def test_the_fastest_is_chosen_and_all_are_named():
    trials = [works("varlen", 1), works("flash", 3), missing("efficient"), works("math", 9)]
    choice = choose_attention(trials, CARD)
    assert choice.name == "varlen"
    assert choice.notes == [
        "Attention: varlen (varlen 1.0 ms, flash 3.0 ms, efficient unavailable, math 9.0 ms)."
    ]


def test_plain_attention_is_never_preferred_to_a_fused_one():
    choice = choose_attention([missing("varlen"), works("flash", 9), works("math", 1)], CARD)
    assert choice.name == "flash"


def test_cudnn_is_left_out_where_another_fused_attention_works():
    trials = [missing("varlen"), works("efficient", 9), works("cudnn", 1), works("math", 20)]
    choice = choose_attention(trials, CARD)
    assert (choice.name, choice.turned_off) == ("efficient", ["cudnn"])
    alone = choose_attention([missing("flash"), works("cudnn", 1), works("math", 20)], CARD)
    assert (alone.name, alone.turned_off) == ("cudnn", [])


def test_a_wrong_attention_is_turned_off_and_told():
    trials = [wrong("varlen"), wrong("flash", float("inf")), works("efficient", 9)]
    choice = choose_attention(trials, CARD)
    assert choice.name == "efficient"
    assert set(choice.turned_off) == {"flash", "cudnn"}
    varlen, flash = choice.notes[1:]
    assert "Attention varlen" in varlen
    assert "off by 80%" in varlen
    assert "Attention flash" in flash
    assert "not finite" in flash


def test_plain_attention_alone_comes_with_a_warning_about_memory():
    choice = choose_attention([missing("flash"), missing("efficient"), works("math", 9)], CARD)
    assert choice.name == "math"
    assert "square of a row's length" in choice.notes[-1]


def test_without_any_sound_attention_nothing_is_trained():
    with pytest.raises(ModelError, match=r"No attention .* computes correctly on a card: flash wr"):
        choose_attention([wrong("flash"), missing("math")], CARD)


def test_a_cpu_has_nothing_to_settle():
    before = torch.backends.cuda.cudnn_sdp_enabled()
    assert settle_backends(Compute(CPU, torch.float32, "as asked"), "nano") == (False, [])
    assert torch.backends.cuda.cudnn_sdp_enabled() == before
