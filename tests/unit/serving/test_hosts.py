from __future__ import annotations

import socket

import pytest

from theobot.serving.hosts import hosts_of, is_loopback


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST:8000", True),
        ("[::1]:8000", True),
        ("127.0.0.1", False),
        ("127.0.0.1:8001", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example:8000", False),
        ("192.168.0.7:8000", False),
        ("user@127.0.0.1:8000", False),
        ("127.0.0.1:8000/x", False),
        ("127.0.0.1:80x", False),
        ("[::1:8000", False),
        ("", False),
    ],
)
def test_on_this_machine_only_its_own_names(host: str, accepted: bool):
    assert hosts_of("127.0.0.1", 8000).accept(host) is accepted


def test_the_usual_port_may_be_left_out():
    assert hosts_of("127.0.0.1", 80).accept("localhost")


def test_on_all_addresses_numbers_and_the_machines_own_name():
    hosts = hosts_of("0.0.0.0", 8000, ("RE.school.example",))
    own = socket.gethostname()
    accepted = [
        "192.168.0.7:8000",
        "[fe80::1]:8000",
        f"{own}:8000",
        f"{own.split('.')[0]}.local:8000",
    ]
    for host in [*accepted, "re.school.example", "re.school.example:443"]:
        assert hosts.accept(host), host
    for host in ("evil.example:8000", "192.168.0.7:80", "school.example"):
        assert not hosts.accept(host), host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_loopback(host: str):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "school.example"])
def test_not_loopback(host: str):
    assert not is_loopback(host)
