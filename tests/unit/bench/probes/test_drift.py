from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn.functional import kl_div

from theobot.bench.answers import AnswerRecord
from theobot.bench.probes import drift
from theobot.bench.probes.drift import NEUTRAL_TEXT, compare_rows, measure_drift, token_figures
from theobot.data.prompt import Turn
from theobot.data.tokens import TokenRow, tokenize_prompt


def record(text: str, arm: str = "base", stop: str = "eos", chosen: str = "chat") -> AnswerRecord:
    return AnswerRecord(
        text[:5], "out_of_domain", "Name a river.", arm, chosen, "", 192, text, stop, 9, "tiny",
        None, None, {}, "",
    )  # fmt: skip


def rows_of(generator) -> list[TokenRow]:
    texts = ["The Severn is a river. " * 9, "No."]
    encode = generator.tokenizer.encode
    return [TokenRow([*encode("Name a river."), *encode(t)], 4, t[:4]) for t in texts]


def test_two_tokens_worked_out_by_hand():
    """Base (3/4, 1/4) and Theobot (1/2, 1/2), then the other way about; token 0 stands there."""
    skewed, level = [math.log(3), 0.0], [5.0, 5.0]
    base, theobot = torch.tensor([skewed, level]), torch.tensor([level, skewed])
    found = token_figures(base, theobot, torch.tensor([0, 0]))
    forward = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert found.kl.tolist() == pytest.approx([forward, backward])
    assert found.base.tolist() == pytest.approx([math.log(4 / 3), math.log(2)])
    assert found.theobot.tolist() == pytest.approx([math.log(2), math.log(4 / 3)])
    assert found.same.tolist() == [True, True]
    turned = token_figures(base, torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 1]))
    assert turned.same.tolist() == [False, False]


def test_figures_are_those_of_torch_in_double_precision():
    torch.manual_seed(0)
    base, theobot = torch.randn(7, 50) * 4, torch.randn(7, 50) * 4
    found = token_figures(base.bfloat16(), theobot.bfloat16(), torch.arange(7))
    logs = [part.bfloat16().double().log_softmax(-1) for part in (base, theobot)]
    expected = kl_div(logs[1], logs[0], reduction="none", log_target=True).sum(-1)
    assert found.kl.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("positions", [1, 10, 256])
def test_passes_of_any_size_give_the_figures_of_whole_rows(tiny_generator, monkeypatch, positions):
    monkeypatch.setattr(drift, "PASS_POSITIONS", positions)
    sizes = []
    monkeypatch.setattr(
        drift, "token_figures", lambda *parts: sizes.append(len(parts[0])) or token_figures(*parts)
    )
    rows = rows_of(tiny_generator)
    found = compare_rows(tiny_generator, rows)
    assert found is not None
    assert max(sizes) <= positions
    kl, same = [], []
    for row in rows:
        logs = {}
        for arm in ("base", "theobot"):
            with torch.no_grad(), tiny_generator.using(arm):
                logits = tiny_generator.network(torch.tensor([row.input_ids])).logits[0, 3:-1]
            logs[arm] = logits.double().log_softmax(-1)
        kl += (logs["base"].exp() * (logs["base"] - logs["theobot"])).sum(-1).tolist()
        same += (logs["base"].argmax(-1) == logs["theobot"].argmax(-1)).tolist()
    assert (found.texts, found.tokens) == (2, len(kl))
    values = torch.tensor(kl)
    assert found.kl["mean"] == pytest.approx(float(values.mean()), rel=1e-4)
    assert found.kl["median"] == pytest.approx(float(values.quantile(0.5)), rel=1e-4)
    assert found.kl["90 %"] == pytest.approx(float(values.quantile(0.9)), rel=1e-4)
    assert found.kl["99 %"] == pytest.approx(float(values.quantile(0.99)), rel=1e-4)
    assert found.top1 == pytest.approx(sum(same) / len(same))
    assert found.kl["mean"] > 0.01
    assert tiny_generator.model.get_model_status().enabled is True


def test_likelihoods_are_the_models_own_loss(tiny_generator):
    row = rows_of(tiny_generator)[0]
    ids = torch.tensor([row.input_ids])
    labels = ids.clone()
    labels[:, : row.learned_from] = -100
    found = compare_rows(tiny_generator, [row])
    assert found is not None
    for arm, nats in (("base", found.base_nats), ("theobot", found.theobot_nats)):
        with torch.no_grad(), tiny_generator.using(arm):
            assert nats == pytest.approx(float(tiny_generator.network(ids, labels=labels).loss))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_of_zeros_moves_nothing_at_all(tiny_generator, dtype):
    with torch.no_grad():
        for name, parameter in tiny_generator.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
            elif "lora_" not in name:
                parameter.data = parameter.data.to(dtype)
    found = measure_drift(tiny_generator, [record("The Severn."), record("The Wye.")])
    assert found is not None
    for figures in (found, found["neutral_text"]):
        assert set(figures["kl"].values()) == {0.0}
        assert (figures["top1"], figures["nats_more"]) == (1.0, 0.0)


def test_the_bases_answers_are_read_after_their_prompt_with_their_end(tiny_generator):
    records = [
        record("Severn"),
        record("Wye", stop="length", chosen="seed"),
        record("x", "theobot"),
    ]
    found = measure_drift(tiny_generator, records)
    tokenizer = tiny_generator.tokenizer
    rows = []
    for one in records[:2]:
        prompt = tokenize_prompt(tokenizer, [Turn("user", "Name a river.")], one.prompt_format)
        end = [tokenizer.eos_token_id] if one.stop_reason == "eos" else []
        rows.append(TokenRow([*prompt, *tokenizer.encode(one.text), *end], len(prompt), one.id))
    expected = compare_rows(tiny_generator, rows)
    assert found is not None
    assert expected is not None
    assert {key: found[key] for key in expected._fields} == expected._asdict()
    assert found["tokens"] == sum(row.scored for row in rows)
    neutral = found["neutral_text"]
    assert neutral["tokens"] == min(len(tokenizer.encode(NEUTRAL_TEXT)), 512) - 1
    assert json.loads(json.dumps(found)) == found


def test_without_answers_there_is_nothing_to_say(tiny_generator):
    assert measure_drift(tiny_generator, []) is None
    assert measure_drift(tiny_generator, [record("x", "theobot")]) is None
