import json
from pathlib import Path

import pytest

from theobot.data.examples import Example, read_examples
from theobot.data.split import clusters_of, split_file
from theobot.errors import DataError, RunError


def row(question: str, answer: str = "An answer.", **meta: object) -> dict:
    return {"prompt": f"User: {question}\nAssistant:", "completion": answer, "meta": meta or None}


def write(path, rows):
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def examples(*questions: str) -> list[Example]:
    return [Example(f"User: {q}\nAssistant:", "x", {}, f"a:{n}") for n, q in enumerate(questions)]


def test_without_metadata_the_verse_in_the_question_is_the_cluster():
    rows = examples(
        "What is the main message of Deuteronomy 24:17?",
        "Explain charity.",
        "How might a Jew apply Deut 24:17-18 today?",
        "What does Deuteronomy 24:19 say?",
    )
    assert clusters_of(rows) == [[0, 2], [1], [3]]


def test_without_a_verse_the_topic_is_what_the_stem_leaves():
    rows = examples(
        "Explain two similar religious beliefs about abortion. [4 marks]",
        "Evaluate arguments about abortion. [12 marks]",
        "Explain two similar religious beliefs about euthanasia. [4 marks]",
    )
    assert clusters_of(rows) == [[0, 1], [2]]


def test_a_named_verse_meets_a_range_that_holds_it():
    rows = [
        Example("User: a\nAssistant:", "x", {"cluster": "Matthew 5:38-42"}, "a:1"),
        Example("User: b\nAssistant:", "x", {"cluster": "Matthew 5:39"}, "a:2"),
        Example("User: c\nAssistant:", "x", {"cluster": "just-war"}, "a:3"),
    ]
    assert clusters_of(rows) == [[0, 1], [2]]


def test_both_files_hold_every_row_once_in_its_order_with_its_metadata(tmp_path):
    rows = [
        row(f"What is topic {n // 2} of {t}?", f"Answer {n}.", theme=t, cluster=f"{t} {n // 2}")
        for t in "AB"
        for n in range(40)
    ]
    source = write(tmp_path / "all.jsonl", rows)
    result = split_file(source, tmp_path / "out", 0.2)
    train, dev = read_examples(result.train), read_examples(result.dev)
    assert (len(train), len(dev)) == (result.train_rows, result.dev_rows) == (64, 16)
    clusters = [{e.meta["cluster"] for e in part} for part in (train, dev)]
    assert not clusters[0] & clusters[1]
    assert [sum(e.meta["theme"] == t for e in dev) for t in "AB"] == [8, 8]
    every = [e.completion for e in read_examples(source)]
    assert sorted([e.completion for e in train] + [e.completion for e in dev]) == sorted(every)
    assert [e.completion for e in train] == [a for a in every if a in {e.completion for e in train}]
    again = split_file(source, tmp_path / "again", 0.2)
    assert again.dev.read_bytes() == result.dev.read_bytes()
    other = split_file(source, tmp_path / "other", 0.2, seed=7)
    assert other.dev.read_bytes() != result.dev.read_bytes()


def test_files_that_are_there_are_not_overwritten(tmp_path):
    source = write(tmp_path / "a.jsonl", [row("One?"), row("Two?")])
    (tmp_path / "dev.jsonl").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        split_file(source, tmp_path)
    assert (tmp_path / "dev.jsonl").read_text() == "mine"


def test_too_few_clusters_and_odd_shares_are_refused(tmp_path):
    source = write(
        tmp_path / "a.jsonl", [row("What does John 3:16 say?"), row("Explain John 3:16.")]
    )
    with pytest.raises(DataError, match="1 cluster "):
        split_file(source, tmp_path / "out")
    with pytest.raises(DataError, match="between 0 and 1"):
        split_file(source, tmp_path / "out", 1.0)
    assert not (tmp_path / "out").exists()


def test_a_failure_at_the_second_file_leaves_neither(tmp_path):
    source = write(
        tmp_path / "a.jsonl", [row(f"What is topic {n}?", cluster=f"c{n}") for n in range(9)]
    )
    folder = tmp_path / "parts"
    # A folder in the place of the second file, as far as it can be made without a full disk.
    (folder / ".dev.jsonl.tmp").mkdir(parents=True)
    with pytest.raises(RunError, match=r"dev.jsonl: cannot be written"):
        split_file(source, folder, 0.3)
    assert [path.name for path in folder.iterdir()] == [".dev.jsonl.tmp"]
    (folder / ".dev.jsonl.tmp").rmdir()
    assert split_file(source, folder, 0.3).dev.is_file()


def test_a_home_folder_in_quotation_marks_is_no_folder_named_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    source = write(
        tmp_path / "a.jsonl", [row(f"What is topic {n}?", cluster=f"c{n}") for n in range(9)]
    )
    assert split_file(source, Path("~/parts"), 0.3).train == tmp_path / "parts" / "train.jsonl"
