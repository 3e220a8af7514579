"""The Hugging Face Hub: its cache, offline work, tokens, and the way through a school's network."""

from __future__ import annotations

from theobot.doctor.facts import Facts
from theobot.doctor.finding import Check, Seen, error, warning

_NETWORK_DISKS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs")
_SET = ("1", "on", "yes", "true")
_SHOWN = 5
_OWN_CACHE = "$ export HF_HOME=~/hf_cache"
_OR_OWN = ("Or a cache of your own:", _OWN_CACHE)


def _cache(facts: Facts) -> Seen | None:
    hub = facts.hub
    if hub is None:
        return None
    # The cache alone: above it others' folders may lie, if HF_HOME is a whole disk.
    give_back = f'$ sudo chown -R "$USER" "{hub.cache}"'
    if not hub.writable and hub.owner is None:
        return error(
            f"{hub.cache} is missing or out of reach, and this account cannot make it.", _OWN_CACHE
        )
    if not hub.writable:
        return error(
            f"{hub.cache} cannot be written: it belongs to {hub.owner}.", give_back, *_OR_OWN
        )
    if hub.foreign:
        some = ", ".join(hub.foreign[:_SHOWN])
        return error(
            f"In {hub.cache} these folders belong to another account: {some}.",
            give_back,
            *_OR_OWN,
        )
    if hub.filesystem and hub.filesystem.startswith(_NETWORK_DISKS):
        return warning(
            f"{hub.cache} lies on a network disk ({hub.filesystem}).",
            "Weights load slowly from there, and locks may fail. A disk of this machine is better:",
            _OWN_CACHE,
        )
    return None


CACHE = Check(
    id="hub-cache",
    title="The Hub's cache cannot be written",
    platform="all",
    sign='"Permission denied" with a path below ~/.cache/huggingface or HF_HOME.',
    why="Downloads are kept in one cache. After one `sudo`, or in a cache that is shared, its "
    "folders belong to another account, and the next download fails.",
    fix=(
        "Take the cache back if it is yours, or use one of your own:",
        '$ sudo chown -R "$USER" ~/.cache/huggingface',
        _OWN_CACHE,
    ),
    find=_cache,
    patterns=(
        r"permission denied.*(huggingface|hf_cache|models--|\.locks)",
        r"may not be written\. use a cache",
    ),
)


def _offline(facts: Facts) -> Seen | None:
    snapshot = facts.hub.snapshot if facts.hub else None
    if snapshot is None or snapshot.state == "complete":
        return None
    flags = [
        name
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        if facts.environment.get(name, "").lower() in _SET
    ]
    if snapshot.state == "absent":
        what = f"{facts.model} is not on this machine"
    else:
        rest = len(snapshot.missing) - _SHOWN
        names = ", ".join(snapshot.missing[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
        what = f"{facts.model} is not whole: {names} missing"
    if snapshot.unfinished:
        what += f" ({snapshot.unfinished} downloads were cut off)"
    fetch = f"$ theobot fetch {facts.model}"
    if not snapshot.in_cache:
        return error(f"{what}.", "Bring the missing files into that folder from where it came.")
    if flags:
        return error(
            f"{what}, and fetching it is turned off by {' and '.join(flags)}.",
            *(f"$ unset {name}" for name in flags),
            fetch,
        )
    return warning(f"{what}.", fetch) if snapshot.state == "incomplete" else None


OFFLINE = Check(
    id="offline",
    title="The base model is not whole on this machine",
    platform="all",
    sign='"offline mode is enabled", "couldn\'t find them in the cached files", or a missing '
    "model-0000x-of-00004.safetensors.",
    why="Without the network every file of the model must lie in the cache. A download that was "
    "cut off goes on where it stopped.",
    fix=(
        "With the network, once:",
        "$ unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE",
        "$ theobot fetch Qwen/Qwen2.5-7B-Instruct",
        "For a machine that is never online: fetch with -o on another one, carry the folder over, "
        "and name it with --model.",
    ),
    find=_offline,
    patterns=(
        r"offline mode is enabled|HF_HUB_OFFLINE is set",
        r"find (them|the requested files) in the (cached files|disk cache|local cache)",
        r"LocalEntryNotFoundError",
    ),
)


def _token(facts: Facts) -> Seen | None:
    online = facts.hub.online if facts.hub else None
    if facts.hub is None or online is None or online.status not in (401, 403):
        return None
    if online.status == 403:
        return error(
            "The Hub answered 403: the model's owner asks for consent first.",
            "Accept the terms on the model's page, then:",
            "$ hf auth login",
        )
    if facts.hub.token == "environment":
        return error("The Hub answered 401: the token in HF_TOKEN has expired.", "$ unset HF_TOKEN")
    if facts.hub.token == "file":
        again = ("$ hf auth logout", "$ hf auth login")
        return error("The Hub answered 401: the saved token has expired.", *again)
    return error("The Hub answered 401: no such model, or it is private.")


TOKEN = Check(
    id="hub-token",
    title="The Hub refuses the token or asks for consent",
    platform="all",
    sign="401 or 403 from the Hub, even for a public model.",
    why="An expired token is refused even where none is needed. Some models ask for consent first; "
    "the Qwen2.5 models do not.",
    fix=(
        "Log in again, or out (Qwen2.5 needs no account); for a model with terms accept them on "
        "its page first:",
        "$ hf auth login",
        "$ unset HF_TOKEN",
    ),
    find=_token,
    patterns=(
        r"40[13] client error",
        r"invalid (credentials|user token|username or password)",
        r"gated repo|its owner asks for consent",
    ),
)


def _unreachable(facts: Facts) -> Seen | None:
    online = facts.hub.online if facts.hub else None
    if online is None or (online.error is None and (online.status or 0) < 500):
        return None
    told = [name for name in facts.environment if name.lower().endswith("_proxy")]
    proxies = f" Proxy variables: {', '.join(told)}." if told else " No proxy variable is set."
    asked = facts.environment.get("HF_ENDPOINT")
    where = f" HF_ENDPOINT is {asked}." if asked else ""
    problem = online.error or f"it answered {online.status}"
    return error(f"The Hub cannot be reached: {problem}.{proxies}{where}")


UNREACHABLE = Check(
    id="hub-unreachable",
    title="The Hub cannot be reached",
    platform="all",
    sign='"CERTIFICATE_VERIFY_FAILED", "ProxyError", "the Hub cannot be reached".',
    why="School networks let programs out through a proxy alone, and often open encrypted "
    "connections with a certificate of their own, which Python does not know.",
    fix=(
        "Ask the network's keeper for proxy and certificate, then:",
        "$ export HTTPS_PROXY=http://proxy.school.example:8080",
        "$ export SSL_CERT_FILE=/path/to/school-certificates.pem",
        "Or fetch elsewhere with `theobot fetch MODEL -o FOLDER`, carry the folder over, and name "
        "it with --model. To ask the Hub once more:",
        "$ theobot doctor --online",
    ),
    find=_unreachable,
    patterns=(
        r"certificate_verify_failed|certificate verify failed",
        r"proxyerror|tunnel connection failed|407 proxy",
        r"temporary failure in name resolution|name or service not known|getaddrinfo failed",
        r"the hub cannot be reached|max retries exceeded",
    ),
)
