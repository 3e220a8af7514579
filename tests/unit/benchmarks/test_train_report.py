"""The training benchmark's table and page."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

report = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "train_report.py"))
Figures, table, draw = report["Figures"], report["table"], report["draw"]
put_into_page, BEGIN, END = report["put_into_page"], report["BEGIN"], report["END"]
MIB = 2**20

MEASURED = [
    Figures("Theobot", [4.0, 5.0, 4.5], tokens=80, work=2e9, peak=100 * MIB, weights=500 * MIB),
    Figures("Trainer", [2.0, 1.0], tokens=80, work=2e9, peak=200 * MIB, weights=500 * MIB),
    Figures("TRL"),
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n ").split("|")]


def test_the_table_has_medians_ranges_shares_and_ratios():
    _, _, ours, trainer, trl = table(MEASURED, matmul_rate=1e10).splitlines()
    assert cells(ours)[:6] == ["Theobot", "4.5 (4 to 5)", "360", "90.0%", "100", "600"]
    assert cells(trainer) == ["Trainer", "1.5 (1 to 2)", "120", "30.0%", "200", "700", "3.00 x"]
    assert cells(trl) == ["TRL", *["not measured yet"] * 6]


def test_the_plot_names_what_was_measured_and_is_the_same_each_time(tmp_path):
    for name in ("one.svg", "two.svg"):
        draw(MEASURED, "a machine", tmp_path / name)
    first = (tmp_path / "one.svg").read_bytes()
    assert first == (tmp_path / "two.svg").read_bytes()
    ElementTree.fromstring(first)
    text = first.decode()
    assert "Theobot" in text
    assert "Trainer" in text
    assert "TRL" not in text


def test_a_page_keeps_all_but_what_stands_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    put_into_page(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="not found"):
        put_into_page(page, "new\n")
    assert page.read_text(encoding="utf-8") == "no marks\n"
