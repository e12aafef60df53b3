"""The page's server: on a loopback port, in a thread, until the review ends."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from pet.errors import InputError, PetError, Problem

HOST = "127.0.0.1"

PAUSE = 0.1  # seconds between two looks at whether it is over

AT_ONCE = 32  # connections; a browser opens six


def bind(port: int) -> socket.socket:
    """Take a port of this machine that others cannot reach; 0: one that is free.

    Raises:
        InputError: another program has it, or it may not be used.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(AT_ONCE)  # a browser that is quicker than the server waits
    except (OSError, OverflowError) as error:
        listener.close()
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        fix = "leave --port out: a free one is found; or choose another"
        raise InputError(Problem(f"--port {port}", "a free port", found, fix)) from None
    return listener


def serve(app: ASGIApp, listener: socket.socket, is_over: Callable[[], bool]) -> None:
    """Answer requests until it is over; what was asked by then is answered.

    Args:
        is_over: asked ten times a second.

    Raises:
        PetError: the server ended by itself.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    # In a thread it leaves the signals to the command.
    thread = threading.Thread(target=server.run, args=([listener],), name="review", daemon=True)
    thread.start()
    try:
        while not is_over():
            if not thread.is_alive():
                raise PetError("the page's server ended; give the same command again: it goes on")
            time.sleep(PAUSE)
    finally:
        server.should_exit = True
        thread.join()


def open_browser(address: str) -> bool:
    """Open the page in the user's browser, where there is a screen; return whether it was."""
    has_screen = any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if sys.platform == "linux" and not has_screen:
        return False  # one in the terminal would take it over
    with contextlib.suppress(webbrowser.Error, OSError):
        return webbrowser.open(address)
    return False
