"""Documentation that can be wrong is tested."""

import re
import runpy
from pathlib import Path

import pytest

import theobot
from theobot.bench.answers import BATCH_SIZE

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [
    str(path.relative_to(ROOT / "src" / "theobot"))
    for path in sorted((ROOT / "src" / "theobot").rglob("*.py"))
    if not path.name.startswith("__")
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["cli", "data", "troubleshooting"])
def test_pages_written_by_the_program_are_up_to_date(page):
    built = runpy.run_path(str(ROOT / "tools" / "build_docs.py"))[f"{page}_page"]()
    assert read(f"docs/{page}.md") == built, "type: make docs"


@pytest.mark.parametrize("module", MODULES)
def test_the_map_in_the_readme_lists_every_module(module):
    folder, _, name = module.rpartition("/")
    folder = folder.rpartition("/")[2]
    line = rf"(?m)^\s*{re.escape(folder)}/\s.*" if folder else r"(?m)^\s*"
    found = [text for text in re.findall(rf"{line}.*$", tree_of_the_readme()) if name in text]
    assert found, f"README.md: the map does not show {module}"


def tree_of_the_readme() -> str:
    """The map with the continuation lines of a folder joined to its first."""
    tree = read("README.md").partition("```text\nsrc/theobot/")[2].partition("```")[0]
    return re.sub(r"\n {8,}", " ", tree)


def test_the_readme_map_names_nothing_that_is_gone():
    folders = (ROOT, ROOT / "tools", *(ROOT / "src" / "theobot").rglob(""))
    known = {path.name for folder in folders for path in folder.glob("*.py")}
    assert set(re.findall(r"\b\w+\.py\b", tree_of_the_readme())) <= known


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"(?m)^## \[(\d[^\]]*)\]", read("CHANGELOG.md"))
    assert versions[0] == theobot.__version__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_named_to_whoever_changes_the_code_exist(page):
    named = re.findall(r"`((?:src|tests|docs|configs|tools)/[^`\s<>]*)`", read(page))
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("TrainingSettings", "config.py"),
        ("count_rates", "bench/scoring/rates.py"),
        ("CHECKS", "doctor/findings.py"),
        ("Corpus", "scripture/citation.py"),
        ("_WORKS", "scripture/numbered.py"),
        ("_FINDERS", "scripture/finder.py"),
        ("_FOUND_WHOLE", "data/citations.py"),
    ],
)
def test_names_in_the_recipes_of_contributing_are_defined_where_it_says(name, file):
    assert f"`{name}`" in read("CONTRIBUTING.md")
    defined = rf"(?m)^(?:class {name}\b|def {name}\b|{name} = )"
    assert re.search(defined, read(f"src/theobot/{file}"))


def test_make_targets_named_in_the_documentation_exist():
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*):", read("Makefile")))
    assert {"demo", "test"} <= targets
    for page in PAGES:
        for name in re.findall(r"`?make ([a-z][a-z-]*)`", page.read_text(encoding="utf-8")):
            assert name in targets, f"{page.name}: make {name}"


def test_commands_named_in_the_readme_exist():
    page = read("docs/cli.md")
    for name in re.findall(r"(?m)^theobot ([a-z]+)", read("README.md")):
        assert f"## theobot {name}" in page


def test_the_servers_page_tells_how_many_answers_are_under_way():
    page = " ".join(read("docs/servers.md").split())
    words = f"More than {2 * BATCH_SIZE} have no effect: {BATCH_SIZE} questions to both models"
    assert words in page


def test_the_servers_page_makes_models_with_our_own_export():
    page = read("docs/servers.md")
    for other in ("convert_lora_to_gguf", "merge_and_unload"):
        assert other not in page
