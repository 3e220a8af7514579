"""By which names a server may be addressed.

A page elsewhere can let its own name point to this machine and then speak to the server as if it
were its own (DNS rebinding). Its requests carry that name in their Host header, and are refused.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Hosts:
    """The Host headers of one server.

    Args:
        port: where it listens.
        names: names and addresses that go with that port.
        outer_names: names under which something before the server is reached, whatever the port.
        any_address: whether every numeric address is this server's, as it listens on all.
    """

    port: int
    names: frozenset[str]
    outer_names: frozenset[str] = frozenset()
    any_address: bool = False

    def accept(self, host: str) -> bool:
        """Whether a Host header means this server."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.netloc != host or "@" in host:
            return False
        if name in self.outer_names:
            return True
        if (port or 80) != self.port:
            return False
        return bracketed(name) in self.names or (self.any_address and _is_address(name))


def hosts_of(host: str, port: int, outer_names: tuple[str, ...] = ()) -> Hosts:
    """The names of a server that listens on a host.

    Args:
        host: name or address it is bound to.
        port: its port.
        outer_names: further names that it may be called by.
    """
    names = {bracketed(host.lower()), *_LOOPBACK_NAMES}
    every = _is_address(host) and ipaddress.ip_address(host).is_unspecified
    if every:
        own = socket.gethostname().lower()
        names |= {own, f"{own.partition('.')[0]}.local"}
    outer = frozenset(name.lower() for name in outer_names)
    return Hosts(port, frozenset(names), outer, any_address=every)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def bracketed(name: str) -> str:
    """A host as addresses and Host headers write it."""
    return f"[{name}]" if ":" in name else name
