from __future__ import annotations

from theobot.serving import limits
from theobot.serving.limits import AtATime, PerMinute


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_a_minute_for_each():
    clock = Clock()
    per_minute = PerMinute(2, clock)
    for clock.now in (0.0, 10.0):
        assert per_minute.wait("a") == 0
        per_minute.count("a")
    clock.now = 30.5
    assert per_minute.wait("a") == 30
    assert per_minute.wait("b") == 0
    clock.now = 60.0
    assert per_minute.wait("a") == 0
    per_minute.count("a")
    assert per_minute.wait("a") == 10


def test_those_who_are_silent_are_forgotten(monkeypatch):
    monkeypatch.setattr(limits, "_MOST_CLIENTS", 3)
    clock = Clock()
    per_minute = PerMinute(1, clock)
    for name in "abcd":
        per_minute.count(name)
    assert [per_minute.wait(name) > 0 for name in "abcd"] == [False, True, True, True]
    clock.now = 61.0
    for name in "abcd":
        per_minute.wait(name)
    assert not per_minute._times


def test_so_many_at_a_time_for_each():
    at_a_time = AtATime(1)
    with at_a_time.one_more("a") as first, at_a_time.one_more("b") as other:
        with at_a_time.one_more("a") as second:
            assert (first, second, other) == (True, False, True)
        with at_a_time.one_more("a") as still:
            assert not still
    with at_a_time.one_more("a") as again:
        assert again
    assert not at_a_time._open


def test_any_number_where_there_is_no_limit():
    at_a_time = AtATime(None)
    with at_a_time.one_more("a"), at_a_time.one_more("a") as second:
        assert second
