from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from theobot.bench.benchmark import run_bench
from theobot.bench.plan import read_plan, settle_plan
from theobot.data.dataset import summarise
from theobot.data.examples import read_examples
from theobot.errors import AdapterError, DataError, InvalidRunError
from theobot.generation.grounded import GroundedGenerator
from theobot.generation.local import LocalGenerator
from theobot.generation.scripted import ScriptedGenerator
from theobot.model.adapter import load_adapter, read_adapter_info
from theobot.run_folder import RunFolder


def test_a_benchmark_leaves_answers_six_files_a_page_and_figures(
    tmp_path: Path, question_folder: Path
):
    generator = ScriptedGenerator(lambda question, arm: f"{arm}: turning away from God")
    seen = []
    folder = tmp_path / "new" / "bench"
    result = run_bench(generator, folder, questions=question_folder, on_progress=seen.append)
    assert seen[-1].done == seen[-1].total == 14
    assert {path.name for path in folder.iterdir()} == {
        "answers.jsonl", "questions.jsonl", "health.json", "side_by_side.md", "plan.json",
        "plan.sha256", "probes.json", "scores.json", "report.html", "report.md", "report.json",
        *(f"{arm}_{s}_domain.txt" for arm in ("base", "theobot") for s in ("in", "near", "out_of")),
    }  # fmt: skip
    assert len(result.records) == 14
    assert len(result.files) == 6
    assert result.side_by_side == folder / "side_by_side.md"
    rows = (folder / "questions.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["reference"] == "Turning away from God."
    assert len(json.loads((folder / "health.json").read_text())) == 6


def test_a_second_run_changes_no_byte_and_asks_nothing(tmp_path: Path, question_folder: Path):
    generator = ScriptedGenerator(lambda question, arm: f"{arm} {question}")
    run_bench(generator, tmp_path / "b", questions=question_folder, limit=1)
    before = saved(tmp_path / "b")
    generator.script = {}
    run_bench(generator, tmp_path / "b", questions=question_folder, limit=1)
    assert saved(tmp_path / "b") == before


def test_that_a_plan_of_few_questions_still_holds_is_told(tmp_path: Path, question_folder: Path):
    generator = ScriptedGenerator(lambda question, arm: f"{arm} {question}")
    notes: list[str] = []
    run_bench(generator, tmp_path / "b", questions=question_folder, limit=1, on_note=notes.append)
    assert not any("NEW_FOLDER" in note for note in notes)
    run_bench(generator, tmp_path / "b", questions=question_folder, on_note=notes.append)
    assert notes[-1].startswith(f"{tmp_path / 'b' / 'plan.json'} asks at most 1 questions")


def saved(folder: Path) -> dict[str, bytes]:
    """Bytes of all files but the report, which says when it was written."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if "report" not in path.name}


def test_equal_answers_throughout_are_an_invalid_run(tmp_path: Path, question_folder: Path):
    generator = ScriptedGenerator(lambda question, arm: f"About {question}")
    with pytest.raises(InvalidRunError, match="All 7 answers") as caught:
        run_bench(generator, tmp_path / "b", questions=question_folder)
    assert caught.value.exit_code == 5


def test_an_adapter_without_effect_is_an_invalid_run_before_any_answer(
    tiny_generator: LocalGenerator, tmp_path: Path, question_folder: Path
):
    with torch.no_grad():
        for name, parameter in tiny_generator.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    with pytest.raises(InvalidRunError, match="changes nothing"):
        run_bench(tiny_generator, tmp_path / "b", questions=question_folder)
    assert not (tmp_path / "b").exists()


def test_a_base_alone_has_nothing_to_be_compared_with(tmp_path: Path, question_folder: Path):
    with pytest.raises(AdapterError, match="--adapter"):
        run_bench(ScriptedGenerator({}, ("base",)), tmp_path / "b", questions=question_folder)


def test_the_tiny_model_runs_the_whole_benchmark(
    tiny_generator: LocalGenerator, tmp_path: Path, question_folder: Path
):
    result = run_bench(tiny_generator, tmp_path / "b", questions=question_folder, limit=1)
    assert {(r.arm, r.prompt_format) for r in result.records} == {
        ("base", "chat"),
        ("theobot", "seed"),
    }
    assert all(1 <= r.new_tokens <= r.max_new_tokens for r in result.records)


def test_two_adapters_are_compared_under_their_own_names(
    tiny_base_folder: Path, tiny_tokenizer, tiny_info, tmp_path: Path, question_folder: Path
):
    other = tmp_path / "other"
    shutil.copytree(tiny_info.path, other)
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 100}))
    against = read_adapter_info(other)
    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    model = load_adapter(base, tiny_info, against)
    generator = LocalGenerator(model, tiny_tokenizer, tiny_info, "tiny", against)
    result = run_bench(generator, tmp_path / "b", questions=question_folder, limit=1)
    assert (tmp_path / "b" / "other_adapter_in_domain.txt").is_file()
    assert not (tmp_path / "b" / "base_in_domain.txt").exists()
    assert result.report.arms == ("Other adapter", "Theobot")
    assert "fine-tune" not in result.report.decision.words
    assert result.report.fingerprint["other adapter (weights and settings)"] == against.identity()
    assert read_plan(tmp_path / "b" / "plan.json").against == against.identity()
    assert "Asked twice in other batches, the other adapter changed" in " ".join(
        light.sentence for light in result.report.trust
    )
    # In a folder that compares with the base, the same adapter's answers are others.
    alone = LocalGenerator(
        load_adapter(AutoModelForCausalLM.from_pretrained(tiny_base_folder), tiny_info),
        tiny_tokenizer,
        tiny_info,
        "tiny",
    )
    again = run_bench(alone, tmp_path / "b", questions=question_folder, limit=1)
    assert again.report.plan_status == "changed after answers were seen"
    assert [change for change in again.report.plan_changes if change.startswith("against")]
    assert len(list((tmp_path / "b").glob("answers-*.jsonl"))) == 1


def test_the_worth_of_verses_is_measured_on_the_questions_that_name_some(
    tmp_path: Path, question_folder: Path
):
    file = question_folder / "in_domain_questions.txt"
    file.write_text(file.read_text() + "Explain what Micah 4:3 teaches about peace.\n")
    told = ScriptedGenerator(lambda question, arm: f"{arm} {'plowshares' in question}")
    result = run_bench(GroundedGenerator(told), tmp_path / "b", questions=question_folder)
    assert [record.text for record in result.records] == ["theobot False", "theobot True"]
    assert result.report.arms == ("Without verses", "With verses")
    assert (tmp_path / "b" / "with_verses_in_domain.txt").is_file()
    assert read_plan(tmp_path / "b" / "plan.json").against == "Theobot without the verses"
    # A limit is of these questions, not of all.
    few = run_bench(GroundedGenerator(told), tmp_path / "c", questions=question_folder, limit=1)
    assert [record.question for record in few.records] == [
        record.question for record in result.records
    ]


def test_without_a_verse_there_is_nothing_to_measure(tmp_path: Path, question_folder: Path):
    generator = GroundedGenerator(ScriptedGenerator({}))
    for file in question_folder.glob("references*"):
        file.unlink()
    for name in ("in", "near", "out_of"):
        (question_folder / f"{name}_domain_questions.txt").write_text(f"What is {name}?\n")
    with pytest.raises(DataError, match="names a Bible verse"):
        run_bench(generator, tmp_path / "b", questions=question_folder)


def test_answers_set_aside_have_been_seen(tmp_path: Path, question_folder: Path):
    run_bench(
        ScriptedGenerator(lambda question, arm: f"{arm} {question}"),
        tmp_path / "b",
        questions=question_folder,
    )
    (tmp_path / "b" / "answers.jsonl").rename(tmp_path / "b" / "answers-0123456789ab.jsonl")
    plan, changes = settle_plan(tmp_path / "b", {"adapter": "another"}, question_folder, 3, False)
    assert (plan.limit, changes) == (None, [])


def test_flags_that_an_answered_plan_overrules_are_told_and_change_no_plan(
    tmp_path: Path, question_folder: Path
):
    generator = ScriptedGenerator(lambda question, arm: f"{arm} {question}")
    folder, notes = tmp_path / "b", []
    run_bench(generator, folder, questions=question_folder, limit=1)
    result = run_bench(
        generator, folder, questions=question_folder, limit=2, same_prompt=True,
        on_note=notes.append,
    )  # fmt: skip
    assert len(result.questions) == 3
    assert (result.report.plan_status, result.report.plan_changes) == ("planned", [])
    plan = folder / "plan.json"
    assert [note for note in notes if not note.startswith("Leaks")] == [
        f"{plan} asks at most 1 questions of each set. For another number type -o NEW_FOLDER.",
        f"{plan} asks each in its own prompt. For the other way type -o NEW_FOLDER.",
    ]


def test_until_the_first_answer_another_plan_may_take_its_place(
    tmp_path: Path, question_folder: Path
):
    def stopped(question: str, arm: str) -> str:
        raise KeyboardInterrupt

    folder = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        run_bench(ScriptedGenerator(stopped), folder, questions=question_folder, limit=1)
    generator = ScriptedGenerator(lambda question, arm: f"{arm} {question}")
    with pytest.raises(DataError, match="delete it to take the default"):
        run_bench(generator, folder, questions=question_folder, limit=2)
    (folder / "plan.json").unlink()
    report = run_bench(generator, folder, questions=question_folder, limit=2).report
    assert (report.plan_status, report.plan_changes) == ("planned", [])


def test_leaks_that_were_not_checked_are_told_with_the_reason_until_they_are(
    tmp_path: Path, question_folder: Path
):
    rows = tmp_path / "mine.jsonl"
    line = {"prompt": "User: Who wrote the Gita?\nAssistant:", "completion": "Vyasa, it is said."}
    rows.write_text(json.dumps(line) + "\n")
    run = RunFolder(tmp_path / "first")
    run.path.mkdir()
    run.config.write_text(json.dumps({"data": str(rows)}))
    run.dataset.write_text(json.dumps({"train": summarise(read_examples(rows))}))
    rows.rename(tmp_path / "away.jsonl")
    generator = ScriptedGenerator(lambda question, arm: f"{arm} {question}")

    def bench() -> tuple[str, str, list[str]]:
        notes: list[str] = []
        found = run_bench(
            generator, run.bench, questions=question_folder, run=run.path, on_note=notes.append
        )
        [light] = [light for light in found.report.trust if light.name == "Leaks"]
        return light.state, light.sentence, [note for note in notes if note.startswith("Leaks")]

    state, words, notes = bench()
    assert state == "unknown"
    why = words.removeprefix("None were looked for. ")
    assert why.startswith("The rows that first was trained on (mine.jsonl) cannot be read now.")
    assert notes == [f"Leaks: not checked. {why}"]
    # As the sentence says: once they are back, the same command looks, and asks nothing anew.
    (tmp_path / "away.jsonl").rename(rows)
    generator.script = {}
    assert bench() == (
        "good", "No question or reference answer stands in the training rows.", [],
    )  # fmt: skip
