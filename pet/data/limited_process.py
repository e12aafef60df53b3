"""Functions called in another process, which may not grow or compute for ever.

A file written by others can ask for gigabytes, for hours, or for memory that is not its decoder's:
texts of a dictionary are repeated, runs of levels expanded, pages and buffers trusted to be as long
as their headers say. What a file states of itself vouches for none of it. So it is first decoded
where that does no harm; a decoder that fails, crashes or wants too much ends that process alone.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pet.errors import InputError, PetError, Problem, first_line, is_of_the_disk
from pet.progress import SILENT, Observer

MEMORY_BYTES = 2 << 30  # that reading a file may take

SECONDS, SECONDS_PER_MB = 60, 4  # that it may take; a plain file takes a tenth of a second per MB

READABLE, FIX = "a file that can be read to its end", "write or copy it again"


class ReadingFailed(PetError):
    """A disk failed, not the file: it may be read another time."""


def call_limited(
    function: str,
    request: Mapping[str, Any],
    *,
    name: str,
    size: int,
    remote: bool = False,
    observer: Observer = SILENT,
) -> Any:
    """Call a function that reads a file, in the other process.

    Args:
        function: ``package.module:name``; it takes `request` and `observer` by keyword.
        request: arguments that can be written as JSON.
        name: what errors call the file.
        size: the file's bytes.
        remote: whether it lies on object storage, which the environment gives access to.
        observer: gets the rows that were read, and remarks.

    Returns:
        What the function returned; it can be written as JSON.

    Raises:
        InputError: the file cannot be used.
        ReadingFailed: it could not be read this time.
    """
    seconds = SECONDS + SECONDS_PER_MB * (size >> 20)
    limits = {"memory_bytes": MEMORY_BYTES, "seconds": seconds}
    call = {"function": function, "request": request, "name": name, **limits}
    answer: dict[str, Any] = {}
    with _lock:
        process = _Process.running(remote)
        try:
            for answer in process.ask(call):
                if "note" in answer:
                    observer.note(answer["note"])
                observer.advance(answer.get("rows", 0))
        except BaseException:  # what it would still answer is of this file
            process.kill()
            raise
        if answer.keys() <= {"rows", "note"}:
            raise InputError(_ended(name, process.end(), seconds))
    if "failed" in answer:
        raise ReadingFailed(answer["failed"])
    if "problems" in answer:
        raise InputError([Problem(*parts) for parts in answer["problems"]])
    return answer["result"]


def _ended(name: str, status: int, seconds: int) -> Problem:
    """Explain why the process has ended without an answer."""
    if status == -signal.SIGALRM:
        expected = f"a file that can be read in {seconds:,} seconds"
        return Problem(name, expected, "one that takes longer", FIX)
    found = f"reading it ended with {status}"
    if status < 0:
        found = f"reading it ended with the signal {signal.Signals(-status).name}"
    return Problem(name, READABLE, found, FIX)


_lock = threading.Lock()


class _Process:
    """The other process. It reads one file after another; one of them may end it."""

    _running: _Process | None = None

    def __init__(self) -> None:
        self._owner, self._environment = os.getpid(), dict(os.environ)
        settings = {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "ARROW_DEFAULT_MEMORY_POOL": "system",  # others take address space in advance
        }
        self._process = subprocess.Popen(  # noqa: S603  (this module, by its name)
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, **settings},
        )
        atexit.register(self.kill)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            status = self.end()
            raise PetError(f"the process that reads files did not start: it ended with {status}")

    @classmethod
    def running(cls, same_environment: bool) -> _Process:
        """Return the process that is there, or start it."""
        running = cls._running
        if running is not None and running._owner != os.getpid():
            running = None  # of the process that this one was forked from
        if running is not None and same_environment and running._environment != dict(os.environ):
            running.kill()
        if running is None or running._process.poll() is not None:
            running = cls._running = cls()
        return running

    def ask(self, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what it answers, up to the result or its own end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(call)}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            answer = json.loads(line)
            yield answer
            if not answer.keys() & {"rows", "note"}:
                return

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> int:
        """Return the status that it ended with."""
        atexit.unregister(self.kill)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        return self._process.wait()


class _Lines(Observer):
    """Writes rows and remarks as lines of JSON."""

    def advance(self, amount: int) -> None:
        _answer(rows=amount)

    def note(self, line: str) -> None:
        _answer(note=line)


def _answer(**what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


_limited = False


def is_limited() -> bool:
    """Return whether this process is such a one."""
    return _limited


def serve() -> None:
    """Call the functions that standard input names, a line of JSON each, until it ends."""
    global _limited
    _limited = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the user's Ctrl-C is the other process's
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    pa.set_cpu_count(1)
    _answer(ready=True)
    for line in sys.stdin:
        call = json.loads(line)
        memory = call["memory_bytes"]
        _limit_memory(memory)
        signal.alarm(call["seconds"])
        try:
            module, _, name = call["function"].partition(":")
            function = getattr(importlib.import_module(module), name)
            answer = {"result": function(**call["request"], observer=_Lines())}
        except MemoryError:
            expected = f"a file that can be read with {memory >> 20:,} MB of memory"
            fix = "look at what is in it; if it is right, write it as CSV or JSON Lines"
            answer = {"problems": [[call["name"], expected, "one that takes more", fix]]}
        except InputError as error:
            parts = [[one.where, one.expected, one.found, one.fix] for one in error.problems]
            answer = {"problems": parts}
            if is_of_the_disk(error):
                answer = {"failed": f"it cannot be read: {error.problems[0].found}"}
        except PetError as error:
            answer = {"failed": first_line(error)}
        except Exception as error:  # a damaged file can make decoders raise anything
            answer = {"problems": [[call["name"], READABLE, first_line(error), FIX]]}
        signal.alarm(0)
        _answer(**answer)


def _limit_memory(growth: int) -> None:
    """Let the process grow by so much, where the system counts it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return
    now = next(line for line in status.read_text().splitlines() if line.startswith("VmData"))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, ((int(now.split()[1]) << 10) + growth, hard))


if __name__ == "__main__":
    # By this name it is not the module that readers import, and ask.
    importlib.import_module("pet.data.limited_process").serve()
