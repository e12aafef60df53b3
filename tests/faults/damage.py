"""Damaged files by number: `make faults DAMAGE=7` damages one in the same way again.

A number decides which file is damaged and how. What reads it must refuse it with an error of ours,
or return what is right.
"""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from pet.errors import PetError

SECONDS = 30  # that reading a small file may take; of these, most are the machine's other work

HOSTILE = (
    b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"999999999999999999999",
    b"2147483648", b"-0.0", b'"\\ud800"', b'"\\u0000"', b"[" * 2000, b'{"a":' * 2000, b"\xff\xfe",
    b"\xc3", b"\0", b"\r", b"\xe2\x80\xae", b"\xef\xbb\xbf", b'"', b"'", b",", b"\\", b"\n\n",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A file, and what reads it.

    Attributes:
        path: where it lies; what is read may be other files beside it, too.
        content: its bytes as they were written.
        read: reads what is at `path`.
        is_right: whether what was read is right, given it and the bytes that were read.
    """

    name: str
    path: Path
    content: bytes
    read: Callable[[Path], Any]
    is_right: Callable[[Any, bytes], bool]


class TooLong(Exception):
    """Reading a damaged file took too long."""


def damage(number: int, among: Sequence[Sequence[Target]]) -> str:
    """Damage a file, read it, and put it back as it was; return how that ended.

    Args:
        among: what may be damaged, by kind.

    Raises:
        AssertionError: what was read is not right.
        Exception: an error that is none of ours.
    """
    rng = random.Random(number)
    target = rng.choice(rng.choice(among))
    content = target.content
    done = []
    for _ in range(rng.choice((1, 1, 2, 5))):
        change = rng.choice(CHANGES)
        done.append(change.__name__)
        content = change(content, rng)
    what = f"DAMAGE={number} ({target.name}, {', '.join(done)})"
    target.path.write_bytes(content)
    try:
        with _in_time():
            found = target.read(target.path)
    except PetError:
        return f"{what}: refused"
    except BaseException as error:
        error.add_note(what)
        raise
    finally:
        target.path.write_bytes(target.content)
    assert target.is_right(found, content), f"{what}: read as {found!r:.2000}"
    return f"{what}: read"


@contextmanager
def _in_time() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


Change = Callable[[bytes, random.Random], bytes]


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut_off(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randint(0, len(content))]


def cut_out(content: bytes, rng: random.Random) -> bytes:
    start, stop = _range(content, rng)
    return content[:start] + content[stop:]


def repeat(content: bytes, rng: random.Random) -> bytes:
    start, stop = _range(content, rng)
    return content[:stop] * rng.randint(1, 2) + content[start:]


def exchange(content: bytes, rng: random.Random) -> bytes:
    """Swap two ranges."""
    a, b, c, d = sorted(rng.randint(0, len(content)) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def zero(content: bytes, rng: random.Random) -> bytes:
    start, stop = _range(content, rng)
    return content[:start] + bytes(stop - start) + content[stop:]


def overwrite(content: bytes, rng: random.Random) -> bytes:
    start, stop = _range(content, rng)
    return content[:start] + rng.randbytes(stop - start) + content[stop:]


def insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(content))
    more = rng.choice((rng.randbytes(rng.randint(1, 40)), rng.choice(HOSTILE)))
    return content[:at] + more + content[at:]


def replace_word(content: bytes, rng: random.Random) -> bytes:
    """Put something else in the place of a number, a quoted text or a word."""
    words = list(re.finditer(rb'-?\d+(\.\d+)?|"[^"\n]{0,40}"|\w+', content))
    if not words:
        return content
    word = rng.choice(words)
    new = rng.choice((rng.choice(words)[0], rng.choice(HOSTILE)))
    return content[: word.start()] + new + content[word.end() :]


def append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.choice((rng.randbytes(100), content, *HOSTILE))


def encode(content: bytes, rng: random.Random) -> bytes:
    """Write text in another encoding, or with other ends of lines."""
    text = content.decode("latin-1")
    other = rng.choice(("utf-16", "utf-8-sig", "utf-7", "cp037"))
    return rng.choice((text.encode(other), content.replace(b"\n", b"\r\n")))


CHANGES: tuple[Change, ...] = (
    flip_bits, flip_bits, flip_bits, cut_off, cut_out, repeat, exchange, zero, overwrite, insert,
    replace_word, replace_word, replace_word, append, encode,
)  # fmt: skip


def _range(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Draw a range, more often a short one."""
    start = rng.randint(0, len(content))
    length = rng.choice((1, 4, 30, len(content)))
    return start, min(len(content), start + rng.randint(0, length))
