"""Write docs/cli.md from the command line itself (`make docs`); a test compares the two."""

import sys
from pathlib import Path
from unittest.mock import patch

from theobot.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

HEAD = "<!-- Written by `make docs` from src/theobot/cli.py and config.py; do not edit. -->\n\n"


def cli_page() -> str:
    """The whole page."""
    # cyclopts puts what was typed to start Python into the usage lines.
    with patch.object(sys, "argv", ["theobot"]):
        page = app.generate_docs(output_format="markdown")
    return HEAD + page.rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(cli_page(), encoding="utf-8")
