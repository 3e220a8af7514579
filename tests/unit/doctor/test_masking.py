from pathlib import Path

from theobot.doctor.masking import masked

HOME = Path("/home/anna")


def test_home_account_tokens_and_passwords_are_gone(facts_of):
    facts = facts_of(
        "radeon",
        environment={
            "HF_HOME": "/home/anna/hf",
            "HTTPS_PROXY": "http://anna:geheim@proxy.school.example:8080",
        },
        disks=[{"use": "runs", "path": "/srv/anna/runs", "free": 1}],
        unknown={"hub": "PermissionError: '/home/anna/.cache' with hf_abcdefGHIJ1234"},
    )
    clean = masked(facts, HOME, {"USER": "anna"})
    text = clean.model_dump_json()
    for secret in ("anna", "geheim", "hf_abc"):
        assert secret not in text
    assert clean.environment["HF_HOME"] == "~/hf"
    assert clean.environment["HTTPS_PROXY"] == "http://***@proxy.school.example:8080"
    assert clean.disks[0].path == "/srv/USER/runs"
    assert clean.unknown["hub"] == "PermissionError: '~/.cache' with ***"


def test_only_whole_parts_of_a_path_are_masked(facts_of):
    facts = facts_of("radeon", disks=[{"use": "runs", "path": "/srv/data/annabel", "free": 1}])
    assert masked(facts, HOME, {}).disks[0].path == "/srv/data/annabel"
    assert masked(facts, Path("/home/dat"), {"USER": "dat"}) == facts


def test_root_is_nobodys_name(facts_of):
    facts = facts_of("cache-of-root", disks=[{"use": "runs", "path": "/admin/runs", "free": 1}])
    clean = masked(facts, Path("/admin"), {"USER": "root"})
    assert clean.disks[0].path == "~/runs"
    assert clean.hub.owner == "root"


def test_a_root_folder_as_home_masks_nothing(facts_of):
    facts = facts_of("radeon")
    assert masked(facts, Path("/"), {}) == facts
