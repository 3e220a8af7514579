"""Write the parts of docs/ that the program itself knows (`make docs`); tests compare the two."""

import sys
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from unittest.mock import patch

from theobot.bench.questions import read_questions
from theobot.cli import app
from theobot.curriculum.shares import RELIGION_SHARES, THEMES, TYPE_SHARES, count_religions
from theobot.data.dataset import shipped_dev_data, shipped_training_data
from theobot.data.examples import Example, read_examples
from theobot.doctor.finding import Check
from theobot.doctor.findings import ALL_CHECKS

DOCS = Path(__file__).parents[1] / "docs"
CLI_PAGE, DATA_PAGE = DOCS / "cli.md", DOCS / "data.md"
TROUBLE_PAGE = DOCS / "troubleshooting.md"

HEAD = "<!-- Written by `make docs` from src/theobot/cli.py and config.py; do not edit. -->\n\n"
TROUBLE_HEAD = """<!-- Written by `make docs` from src/theobot/doctor/; do not edit. -->

# When something fails

```console
theobot doctor                      # looks at this machine, says what to mend and what to type
theobot doctor --run runs/first     # why that run ended
theobot doctor --online             # also asks the Hugging Face Hub one question
theobot doctor --json               # facts and findings for whoever helps you
```

It changes nothing and needs no administrator. Exit code 1 means that there is something to mend.
The JSON holds no names, tokens or passwords, and paths begin at `~`. torch is tried in a process of
its own, which may crash or hang. When a command fails for one of the reasons below, it says so.

Each reason has a name, in brackets in what the doctor prints. Below, in the order in which they are
looked for:

"""
BEGIN, END = "<!-- tools/build_docs.py: begin -->\n", "<!-- tools/build_docs.py: end -->\n"


def cli_page() -> str:
    """The whole page of the command line."""
    # cyclopts puts what was typed to start Python into the usage lines.
    with patch.object(sys, "argv", ["theobot"]):
        page = app.generate_docs(output_format="markdown")
    return HEAD + page.rstrip() + "\n"


def data_page() -> str:
    """The data card with its counts brought up to date."""
    before, _, rest = DATA_PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + composition() + END + after


def troubleshooting_page() -> str:
    """The whole page of what the doctor can find, from its own words."""
    index = [f"- [{check.title}](#{check.id})" for check in ALL_CHECKS]
    return TROUBLE_HEAD + "\n".join(index) + "\n" + "".join(map(_check, ALL_CHECKS))


def _check(check: Check) -> str:
    parts = [
        f"\n## {check.id}\n\n**{check.title}** ({check.platform})\n",
        f"*Sign.* {check.sign}\n",
        f"*Why.* {check.why}\n",
        "*Fix.*\n",
    ]
    for typed, steps in groupby(check.fix, key=lambda step: step.startswith("$ ")):
        lines = "\n".join(step.removeprefix("$ ") for step in steps)
        parts.append(f"```console\n{lines}\n```\n" if typed else f"{lines}\n")
    return "\n".join(parts)


def composition() -> str:
    """Counts of rows and questions against their planned shares, as Markdown tables."""
    parts = [read_examples(path) for path in (shipped_training_data(), shipped_dev_data())]
    lines = [f"{len(parts[0]):,} training rows, {len(parts[1])} dev rows.\n"]
    lines.append("| | planned | training | dev |\n| --- | --: | --: | --: |")
    for key, name in THEMES.items():
        lines.append(_line(f"Theme {key}: {name}", 100 / len(THEMES), parts, _of_theme(key)))
    for group, share in TYPE_SHARES.items():
        lines.append(_line(", ".join(f"`{name}`" for name in group), share, parts, _of_type(group)))
    counted = [count_religions(row.meta["religions"] for row in rows) for rows in parts]
    for name, share in RELIGION_SHARES.items():
        cells = [
            f"{count.get(name, 0):g} ({count.get(name, 0) / len(rows):.1%})"
            for count, rows in zip(counted, parts, strict=True)
        ]
        lines.append(f"| {name} | {share:g} % | {' | '.join(cells)} |")
    sets = Counter(question.set for question in read_questions())
    areas = Counter(
        (question.set, question.meta["area"])
        for question in read_questions()
        if question.meta["area"]
    )
    lines.append("\n| Questions | | of which |\n| --- | --: | --- |")
    for name, count in sets.items():
        inside = [f"{area} {n}" for (of, area), n in areas.items() if of == name]
        what = ", ".join(inside) or "20 for each theme"
        lines.append(f"| {name.replace('_', '-')} | {count} | {what.replace('_', ' ')} |")
    return "\n".join(lines) + "\n"


def _line(
    name: str, share: float, parts: list[list[Example]], belongs: Callable[[Example], bool]
) -> str:
    counts = [sum(map(belongs, rows)) for rows in parts]
    cells = [f"{n} ({n / len(rows):.1%})" for n, rows in zip(counts, parts, strict=True)]
    return f"| {name} | {share:.3g} % | {' | '.join(cells)} |"


def _of_theme(key: str) -> Callable[[Example], bool]:
    return lambda row: row.meta["theme"] == key


def _of_type(group: tuple[str, ...]) -> Callable[[Example], bool]:
    return lambda row: row.meta["qtype"] in group


if __name__ == "__main__":
    CLI_PAGE.write_text(cli_page(), encoding="utf-8")
    DATA_PAGE.write_text(data_page(), encoding="utf-8")
    TROUBLE_PAGE.write_text(troubleshooting_page(), encoding="utf-8")
