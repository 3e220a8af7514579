"""The command that serves: `theobot serve`, a page for people and an endpoint for programs."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from cyclopts import Parameter

from theobot import terminal
from theobot.cli_models import Flag, Selectors, load_generator
from theobot.config import ServeSettings
from theobot.errors import INTERRUPTED

if TYPE_CHECKING:
    from theobot.serving.options import ServeOptions

_PER_CLIENT = 8
"""Answers at a time for one address, where others than this machine can ask."""


def serve(
    *,
    selectors: Annotated[Selectors, Parameter(name="*")] = Selectors(),
    base: Flag = False,
    settings: Annotated[ServeSettings, Parameter(name="*")] = ServeSettings(),
    open: Flag = False,
    make_launcher: Flag = False,
) -> int:
    """Serve a page to ask on, and an endpoint for programs that speak OpenAI's protocol.

    Ctrl-C ends it and lets running answers end first; a second one cuts them off (exit code 130).

    Args:
        base: Serve the base model alone.
        open: Open the page in the browser.
        make_launcher: Write files to double-click into this folder, with the flags that were
            typed, instead of serving.
    """
    if make_launcher:
        from theobot.serving.launcher import write_launchers

        for file in write_launchers(Path(), _flags(selectors, base, settings)):
            terminal.line(str(file))
        return 0
    from theobot.serving import server

    # Before the model is loaded: a mistake in what was typed shows at once.
    options = _options(settings)
    with server.listen(settings.host, settings.port) as listening:
        generator = load_generator(selectors, base=base)
        address = _address(settings.host, listening.getsockname()[1])
        options = server.at_home(options, listening, generator)
        page = _with_token(address, options.token) if options.token else address

        def ready() -> None:
            _welcome(address, options)
            if open:
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

        cut_off = server.serve(generator, listening, options, on_ready=ready)
    return INTERRUPTED if cut_off else 0


def _options(settings: ServeSettings) -> ServeOptions:
    from theobot.generation.api import TOKEN_VARIABLE
    from theobot.serving.filters import load_filter
    from theobot.serving.hosts import is_loopback
    from theobot.serving.options import ServeOptions
    from theobot.serving.records import Records

    loopback = is_loopback(settings.host)
    # Under another name strangers come in, through the proxy that has it.
    local = loopback and not settings.name
    token = settings.token or os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not (local and settings.class_code is None):
        token = secrets.token_urlsafe(24)
    return ServeOptions(
        settings=settings,
        token=token,
        per_client=settings.per_client or (None if loopback else _PER_CLIENT),
        check=load_filter(settings.filter),
        records=Records(settings.log, settings.log_days) if settings.log else None,
    )


def _address(host: str, port: int) -> str:
    """Where to open the page."""
    from theobot.serving.hosts import bracketed

    name = socket.gethostname() if host in ("0.0.0.0", "::") else bracketed(host)
    return f"http://{name}:{port}/"


def _with_token(address: str, token: str) -> str:
    """The address that opens the page with the token, which may hold any sign."""
    return f"{address}#token={quote(token, safe='')}"


def _welcome(address: str, options: ServeOptions) -> None:
    """Say where it is and who may come in; the address alone is on stdout, for programs."""
    from theobot.generation.api import TOKEN_VARIABLE

    settings = options.settings
    terminal.note(
        "Open this address in a browser; programs use it with v1 at its end. Ctrl-C ends it."
    )
    terminal.line(address)
    if options.token and options.token in (settings.token, os.environ.get(TOKEN_VARIABLE)):
        terminal.note("Programs have to show the token that was given.")
    elif options.token:
        terminal.note(f"Token, shown this once: {options.token}")
        terminal.note(f"With it: {_with_token(address, options.token)}")
    if settings.class_code:
        terminal.note(f"Class code for pupils: {settings.class_code}")
    if options.records is not None:
        terminal.note(f"{options.records.notice()} ({options.records.folder})")


def _flags(selectors: Selectors, base: bool, settings: ServeSettings) -> list[str]:
    """What was typed, in a form that does not depend on the folder it was typed in."""
    flags = ["--base"] if base else []
    typed = {
        "run": selectors.run and selectors.run.expanduser().absolute(),
        "adapter": selectors.adapter and selectors.adapter.expanduser().absolute(),
        "model": selectors.model,
        "device": None if selectors.device == "auto" else selectors.device,
        **settings.model_dump(exclude_unset=True),
    }
    for name, value in typed.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif isinstance(value, tuple):
            flags += [part for one in value for part in (flag, one)]
        elif value is not None and value is not False:
            flags += [flag, str(value)]
    return flags
