from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from theobot.bench.marking.session import assigned_page, open_session, read_key
from theobot.bench.marking.store import MarksStore


def test_marking_that_several_processes_begin_at_once_is_begun_once(save_bench, tmp_path: Path):
    folder = save_bench(
        tmp_path / "b", {f"in_domain-{n}": (f"one {n}", f"two {n}") for n in range(6)}
    )
    names = ["Ann", "Bilal", "Ann", "Bilal"]
    ready = threading.Barrier(len(names), timeout=60)

    def begin(alias: str) -> tuple[str, list[str]]:
        ready.wait()
        with open_session(folder) as store:
            ready.wait()
            page = assigned_page(folder, store, alias, "mark")
        return page["session"], [card["id"] for card in page["cards"]]

    with ThreadPoolExecutor(len(names)) as several:
        pages = list(several.map(begin, names))
    assert pages[0] == pages[2]
    assert pages[1] == pages[3]
    with MarksStore(folder / "marking" / "marks.sqlite") as store:
        session = store.session()
        assert session is not None
        assert {page[0] for page in pages} == {session.id}
        assert read_key(folder, session).session == session.id
        # The first marker alone is given everything.
        assert sorted(marker.role for marker in store.markers()) == ["all", "shared"]
