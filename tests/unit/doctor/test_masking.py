from pathlib import Path

import pytest

from theobot.doctor.masking import without_names, without_secrets

HOME = Path("/home/anna")


def test_tokens_and_passwords_are_gone_and_paths_stay(facts_of):
    facts = facts_of(
        "radeon",
        environment={
            "HF_HOME": "/home/anna/hf",
            "HTTPS_PROXY": "http://anna:geheim@proxy.school.example:8080",
        },
        unknown={"hub": "PermissionError: '/home/anna/.cache' with hf_abcdefGHIJ1234"},
    )
    clean = without_secrets(facts)
    text = clean.model_dump_json()
    for secret in ("geheim", "hf_abc"):
        assert secret not in text
    assert clean.environment["HF_HOME"] == "/home/anna/hf"
    assert clean.environment["HTTPS_PROXY"] == "http://***@proxy.school.example:8080"
    assert clean.unknown["hub"] == "PermissionError: '/home/anna/.cache' with ***"


@pytest.mark.parametrize("password", ["p@ss", "pa/ss", "p:a@s/s@"])
def test_no_part_of_an_odd_password_is_left(facts_of, password):
    facts = facts_of("radeon", environment={"HTTPS_PROXY": f"http://anna:{password}@proxy:8080"})
    assert without_secrets(facts).environment["HTTPS_PROXY"] == "http://***@proxy:8080"


def test_home_and_account_are_gone():
    told = {
        "facts": {"disks": [{"path": "/srv/anna/runs", "free": 1}], "online": None},
        "findings": [{"fix": ('$ sudo chown -R "$USER" "/home/anna/hf/hub"',)}],
    }
    assert without_names(told, HOME, {"USER": "anna"}) == {
        "facts": {"disks": [{"path": "/srv/USER/runs", "free": 1}], "online": None},
        "findings": [{"fix": ['$ sudo chown -R "$USER" "~/hf/hub"']}],
    }


def test_only_whole_parts_of_a_path_are_masked():
    assert without_names("/srv/data/annabel", HOME, {}) == "/srv/data/annabel"
    assert without_names("/srv/data/x", Path("/home/dat"), {"USER": "dat"}) == "/srv/data/x"


def test_root_is_nobodys_name():
    told = ["/admin/runs", "/x/root/y", "root"]
    assert without_names(told, Path("/admin"), {"USER": "root"}) == ["~/runs", "/x/root/y", "root"]


def test_a_root_folder_as_home_masks_nothing():
    assert without_names("/dev/kfd", Path("/"), {}) == "/dev/kfd"
