"""The garbage collector rests while a command starts."""

import gc

import pytest

from theobot.model import collector


@pytest.fixture(autouse=True)
def usual():
    """Commands that another test began in this process may have left it at rest."""
    collector.resume()
    yield
    collector.resume()
    gc.freeze()


def test_it_collects_seldom_until_the_work_begins():
    before = gc.get_threshold()
    collector.rest()
    assert gc.get_threshold()[0] > 100 * before[0]
    collector.resume()
    assert gc.get_threshold() == before


def test_what_was_imported_is_passed_over_and_later_garbage_is_not(monkeypatch):
    monkeypatch.setattr(collector, "_frozen", False)  # as in a process that has just begun
    gc.unfreeze()
    collector.rest()
    collector.resume()
    frozen = gc.get_freeze_count()
    assert frozen > 10_000
    later = [[] for _ in range(1000)]
    collector.rest()
    collector.resume()
    assert gc.get_freeze_count() <= frozen
    assert later


def test_loading_a_model_ends_the_rest(tiny_base_folder):
    from theobot.model.base import load_base
    from theobot.model.device import choose_compute

    before = gc.get_threshold()
    collector.rest()
    load_base(str(tiny_base_folder), choose_compute("cpu"))
    assert gc.get_threshold() == before
