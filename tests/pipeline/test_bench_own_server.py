"""The benchmark over Theobot's own server: the answers are those given in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from theobot.bench.benchmark import run_bench
from theobot.generation.local import LocalGenerator
from theobot.generation.remote import Server, connect
from theobot.model.adapter import load_adapter, read_adapter_info
from theobot.serving.server import serving_in_thread


@pytest.fixture(scope="module")
def question_folder(make_question_folder) -> Path:
    return make_question_folder(3, ", and why? [1 mark]")


@pytest.mark.parametrize("same_prompt", [False, True])
def test_answers_over_the_server_are_those_of_this_process(
    tiny_base_folder: Path,
    tiny_adapter_folder: Path,
    tmp_path: Path,
    question_folder: Path,
    same_prompt: bool,
):
    info = read_adapter_info(tiny_adapter_folder)
    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(tiny_base_folder)
    here = LocalGenerator(load_adapter(base, info), tokenizer, info, "tiny")
    options = {"questions": question_folder, "same_prompt": same_prompt}
    alone = run_bench(here, tmp_path / "here", **options)
    with serving_in_thread(here) as url:
        there = connect(Server(url), adapter=info, same_prompt=same_prompt)
        served = run_bench(there, tmp_path / "there", **options)
    assert alone is not None
    assert served is not None
    expected = {(one.id, one.arm): one.text for one in alone.records}
    assert {(one.id, one.arm): one.text for one in served.records} == expected
    assert len(expected) == 2 * 9
    assert len(set(expected.values())) > 9
    cut = {one.id for one in alone.records if one.stop_reason == "length"}
    assert {one.id for one in served.records if one.stop_reason == "length"} == cut
