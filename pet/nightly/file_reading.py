"""A pool file read to its end in a process of its own, which may not grow or run for ever.

A pool is written by others, and a file of a few hundred bytes can ask for gigabytes, for hours, or
for memory that is not its own. What a file states of itself does not tell: a footer does not vouch
for the headers of pages, which decoders trust. So a file is read once where that does no harm,
just as it will be read to be labeled, before it is.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pet.data.data_files import CsvFormat
from pet.data.pool import pool_of
from pet.data.readers import open_source
from pet.data.rejections import Rejections
from pet.errors import InputError, PetError, Problem, first_line
from pet.method.drift import TextSketch, empty_texts, sketch_texts
from pet.progress import Observer

MEMORY_BYTES = 2 << 30  # that reading a file may take

SECONDS, SECONDS_PER_MB = 60, 4  # that it may take; a plain file takes a tenth of a second per MB

SKETCHED_ROWS = 50_000  # texts of a file that are sketched; a uniform sample if there are more


class ReadingFailed(PetError):
    """A disk failed, not the file: it may be read another time."""


def read_bounded(request: Mapping[str, Any], observer: Observer) -> TextSketch:
    """Read a file in the other process.

    Args:
        request: the arguments of `read_whole`; all of them can be written as JSON.

    Raises:
        InputError: it cannot be used.
        ReadingFailed: it could not be read this time.
    """
    name = request["name"]
    seconds = SECONDS + SECONDS_PER_MB * (os.stat(request["path"]).st_size >> 20)
    limits = {"memory_bytes": MEMORY_BYTES, "seconds": seconds}
    reader, answer = _Reader.running(), {}
    with observer.stage(f"reading {name}", None, "rows") as tick:
        try:
            for answer in reader.ask({**request, **limits}):
                if "note" in answer:
                    observer.note(answer["note"])
                tick(answer.get("rows", 0))
        except BaseException:  # what it would still answer is of this file
            reader.kill()
            raise
    if "failed" in answer:
        raise ReadingFailed(answer["failed"])
    if "problems" in answer:
        raise InputError([Problem(*parts) for parts in answer["problems"]])
    if "lengths" in answer:
        return TextSketch(np.array(answer["lengths"]), np.array(answer["words"]))
    status = reader.end()
    expected, found = "a file that can be read to its end", f"reading it ended with {status}"
    if status < 0:
        found = f"reading it ended with the signal {signal.Signals(-status).name}"
    if status == -signal.SIGALRM:
        expected, found = f"a file that can be read in {seconds:,} seconds", "one that takes longer"
    raise InputError(Problem(name, expected, found, "write or copy it again"))


class _Reader:
    """The other process. It reads one file after another; one of them may end it."""

    _running: _Reader | None = None

    def __init__(self) -> None:
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
    def running(cls) -> _Reader:
        """Return the process that is there, or start it."""
        if cls._running is None or cls._running._process.poll() is not None:
            cls._running = cls()
        return cls._running

    def ask(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what it answers, up to the result or its own end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
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


def read_whole(
    path: str,
    name: str,
    columns: Mapping[str, str],
    written: Mapping[str, Any],
    id_column: str | None,
    keep_columns: tuple[str, ...],
    shard_rows: int,
    max_rejected: float,
    seed: int,
    observer: Observer,
) -> TextSketch:
    """Read a file to its end as it is read to be labeled; return what its texts are like.

    Args:
        columns: field -> column, in the order of the task's fields.
        written: how CSV is written: a `CsvFormat`, part by part.

    Raises:
        InputError: it cannot be used, or too many of its rows cannot.
        PetError: it could not be read.
    """
    source = open_source(Path(path), name, CsvFormat(**written))
    pool = pool_of(
        Path(path),
        [source],
        list(columns),
        columns=columns,
        id_column=id_column,
        keep_columns=keep_columns,
    )
    total, rejected = pool.count_rows(), Rejections()
    if not total:
        raise InputError(Problem(name, "at least one row", "none", "write or copy it again"))
    rng = np.random.default_rng(seed)
    found = empty_texts()
    kept = pool.keepable_beside_labels(keep_columns, observer.note)
    with observer.stage(f"reading {name}", total, "rows") as tick:
        for batch in pool.batches(shard_rows, kept):
            rejected.add(batch.rejected)
            chosen = np.flatnonzero(rng.random(len(batch)) < SKETCHED_ROWS / total)
            texts = [batch.columns[field] for field in columns]
            found += sketch_texts("\n".join(text[i] for text in texts) for i in chosen)
            tick(len(batch) + len(batch.rejected))
    if len(rejected) > max_rejected * total:
        raise InputError(
            Problem(
                name,
                f"at most {max_rejected:.0%} unusable rows",
                f"{len(rejected):,} of {total:,}: {rejected}",
                f"{rejected.fix('correct the rows')}; the file is read again then",
            )
        )
    return found


class _Lines(Observer):
    """Writes rows and remarks as lines of JSON."""

    def advance(self, amount: int) -> None:
        _answer(rows=amount)

    def note(self, line: str) -> None:
        _answer(note=line)


def _answer(**what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def serve() -> None:
    """Read the files that standard input names, a line of JSON each, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the user's Ctrl-C is the other process's
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    pa.set_cpu_count(1)
    _answer(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        memory = request.pop("memory_bytes")
        _limit_memory(memory)
        signal.alarm(request.pop("seconds"))
        try:
            found = read_whole(**request, observer=_Lines())
            answer = {"lengths": found.lengths.tolist(), "words": found.words.tolist()}
        except MemoryError:
            expected = f"a file that can be read with {memory >> 20:,} MB of memory"
            answer = {"problems": [_not_read(request["name"], expected, "one that takes more")]}
        except InputError as error:
            answer = {"problems": [_parts(problem) for problem in error.problems]}
            if isinstance(error.__cause__, OSError):  # a disk that failed may work tomorrow
                answer = {"failed": f"it cannot be read: {error.problems[0].found}"}
        except PetError as error:
            answer = {"failed": first_line(error)}
        except Exception as error:  # a damaged file can make decoders raise anything
            expected, found_instead = "a file that can be read to its end", first_line(error)
            answer = {"problems": [_not_read(request["name"], expected, found_instead)]}
        signal.alarm(0)
        _answer(**answer)


def _not_read(name: str, expected: str, found: str) -> list[str]:
    return [name, expected, found, "write or copy it again"]


def _parts(problem: Problem) -> list[str]:
    return [problem.where, problem.expected, problem.found, problem.fix]


def _limit_memory(growth: int) -> None:
    """Let the process grow by so much, where the system counts it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return
    now = next(line for line in status.read_text().splitlines() if line.startswith("VmData"))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, ((int(now.split()[1]) << 10) + growth, hard))


if __name__ == "__main__":
    serve()
