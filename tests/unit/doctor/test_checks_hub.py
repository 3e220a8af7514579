"""The steps against a cache that may not be written."""

import pytest

from theobot.doctor.checks_hub import CACHE


@pytest.mark.parametrize("name", ["cache-of-root", "cache-partly-of-root"])
def test_only_the_cache_itself_is_taken_back(facts_of, name):
    """With HF_HOME=/data it is /data/hub: all else on that disk keeps its owner."""
    seen = CACHE.find(facts_of(name, hub={"cache": "/data/my models/hub"}))
    assert seen.fix[0] == '$ sudo chown -R "$USER" "/data/my models/hub"'
    assert sum("chown" in step for step in seen.fix) == 1
