from importlib import metadata

from theobot.doctor.packages import look_at_packages


def test_versions_and_what_theobot_asks_for(make_machine):
    packages = look_at_packages(make_machine())
    assert packages.versions["torch"] == metadata.version("torch")
    assert "vllm" not in packages.versions
    assert any(text.startswith("peft>=") for text in packages.required)
    assert not any(text.startswith("pytest") for text in packages.required)
