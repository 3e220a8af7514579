"""Figures reach the card of the very adapter that was judged, and no other."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from theobot.bench.adapter_card import ADAPTER_HASH, tell_adapter_card
from theobot.bench.report_model import Report
from theobot.model.card import figures_of, figures_section
from theobot.run_folder import file_sha256

make_report = runpy.run_path(str(Path(__file__).parents[2] / "fake_report.py"))["make_report"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    adapter = tmp_path / "run" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (adapter / "README.md").write_text(f"# Card\n\n{figures_section(None)}")
    return tmp_path / "run"


@pytest.fixture
def report(run: Path) -> Report:
    digest = file_sha256(run / "adapter" / "adapter_model.safetensors")
    return make_report()._replace(fingerprint={ADAPTER_HASH: digest})


def test_the_decision_and_the_sets_are_written(run, report):
    card = tell_adapter_card(run / "bench", report)
    assert card == run / "adapter" / "README.md"
    text = figures_of(card.read_text())
    assert text.startswith(f"**{report.decision.words}**")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + sum(one.n > 0 for one in report.sets)
    assert "not yet checked against a teacher" in text or report.marks


def test_a_later_benchmark_replaces_them(run, report):
    tell_adapter_card(run / "bench", report)
    later = report._replace(decision=report.decision._replace(words="Cannot tell: later."))
    text = figures_of(tell_adapter_card(run / "bench", later).read_text())
    assert text.startswith("**Cannot tell: later.**")


def test_other_weights_and_other_peoples_cards_are_left_alone(run, report):
    card = run / "adapter" / "README.md"
    before = card.read_text()
    other = report._replace(fingerprint={ADAPTER_HASH: "0" * 64})
    assert tell_adapter_card(run / "bench", other) is None
    assert tell_adapter_card(run / "bench" / "deeper", report) is None
    assert card.read_text() == before
    card.write_text("# Mine")
    assert tell_adapter_card(run / "bench", report) is None
    assert card.read_text() == "# Mine"
