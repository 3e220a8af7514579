"""One `Report` as three files: a page for people, Markdown for a terminal, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

from theobot.bench.report.html import report_html
from theobot.bench.report.markdown import report_markdown
from theobot.bench.report.model import Report
from theobot.run_folder import write_text

REPORT_HTML = "report.html"
REPORT_MARKDOWN = "report.md"
REPORT_JSON = "report.json"


def write_report(folder: Path, report: Report) -> list[Path]:
    """Write `report.html`, `report.md` and `report.json`; the same report gives the same bytes.

    Args:
        folder: of the benchmark; must exist.
        report: what to show.

    Returns:
        The three paths, in this order.

    Raises:
        RunError: a file cannot be written.
    """
    texts = {
        REPORT_HTML: report_html(report),
        REPORT_MARKDOWN: report_markdown(report),
        REPORT_JSON: report_json(report),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def report_json(report: Report) -> str:
    """Keys sorted, rows by set and id, no NaN or infinity; half characters stay escapes."""
    text = json.dumps(
        report.to_json(), ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True
    )
    return text.encode("utf-8", "backslashreplace").decode() + "\n"
