"""Figures reach the card of the very adapter that was judged, and no other."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from theobot.bench.adapter_card import figures, tell_adapter_card
from theobot.bench.answers import AnswerRecord
from theobot.bench.report.model import Report
from theobot.generation.generator import SCRIPTURE
from theobot.model.card import figures_of, figures_section
from theobot.run_folder import file_sha256

make_report = runpy.run_path(str(Path(__file__).parents[2] / "fake_report.py"))["make_report"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    adapter = tmp_path / "run" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "README.md").write_text(f"# Card\n\n{figures_section(None)}")
    return tmp_path / "run"


@pytest.fixture
def report() -> Report:
    return make_report()


@pytest.fixture
def record(run: Path) -> AnswerRecord:
    known = {
        "adapter_sha256": file_sha256(run / "adapter" / "adapter_model.safetensors"),
        "adapter_config_sha256": file_sha256(run / "adapter" / "adapter_config.json"),
        "decoding": {"device": "cpu"},
    }
    return AnswerRecord(**(dict.fromkeys(AnswerRecord._fields) | known))


def test_the_decision_and_the_sets_are_written(run, record, report):
    card = tell_adapter_card(run / "bench", record, report)
    assert card == run / "adapter" / "README.md"
    text = figures_of(card.read_text())
    assert text.startswith(f"**{report.decision.words}**")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + sum(one.n > 0 for one in report.sets)
    assert "not yet checked against a teacher" in text or report.marks


def test_that_the_plan_was_changed_afterwards_stands_beside_the_decision(run, record, report):
    assert "answers were seen" not in figures(report)
    changed = report._replace(
        plan_status="changed after answers were seen",
        plan_changes=["base: planned <!-- x, now\nnano"],
    )
    tell_adapter_card(run / "bench", record, changed)
    text = figures_of((run / "adapter" / "README.md").read_text())
    assert text.splitlines()[2] == (
        "Changed after answers were seen: base: planned &lt;!-- x, now nano."
    )


def test_a_later_benchmark_replaces_them(run, record, report):
    tell_adapter_card(run / "bench", record, report)
    later = report._replace(decision=report.decision._replace(words="Cannot tell: later."))
    text = figures_of(tell_adapter_card(run / "bench", record, later).read_text())
    assert text.startswith("**Cannot tell: later.**")


def test_other_weights_and_other_peoples_cards_are_left_alone(run, record, report):
    card = run / "adapter" / "README.md"
    before = card.read_text()
    for one in ("adapter_sha256", "adapter_config_sha256"):
        other = record._replace(**{one: "0" * 64})
        assert tell_adapter_card(run / "bench", other, report) is None
    assert tell_adapter_card(run / "bench" / "deeper", record, report) is None
    assert card.read_text() == before
    card.write_text("# Mine")
    assert tell_adapter_card(run / "bench", record, report) is None
    assert card.read_text() == "# Mine"


@pytest.mark.parametrize(
    "others",
    [
        {"against_sha256": "1" * 64},
        {"decoding": {SCRIPTURE: "American Standard Version, 1901"}},
        {"decoding": {"context": "server"}},
    ],
)
def test_a_card_tells_of_adapter_against_base_alone(run, record, report, others):
    card = run / "adapter" / "README.md"
    before = card.read_text()
    folder = run / "bench-other"
    assert tell_adapter_card(folder, record._replace(**others), report) is None
    assert card.read_text() == before
    assert tell_adapter_card(folder, record, report) == card
