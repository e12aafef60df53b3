"""Object storage (s3://, gs://): files read by address as those on a disk are, errors shown alike.

All of it goes through fsspec: `pip install 'pet[s3]'` brings s3fs, `pet[gs]` brings gcsfs.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from pet.errors import InputError, PetError, Problem, missing_package, outage
from pet.storage.locations import STORES, is_on_store

# Ranges that a reader holds: Parquet jumps between columns, and memory must not grow with a file.
BLOCK_BYTES, BLOCKS = 4 << 20, 8

# Listings are asked for anew each time: others write to the bucket, too.
_OPTIONS = {"use_listings_cache": False}

# Where errors come from that are no OSErrors: no credentials, no network, a server that hangs up.
_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "requests", "urllib3")

_NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "DefaultCredentialsError",
    "RefreshError",
)

_QUIET = logging.NullHandler()

Stamp = tuple[int | str, ...]


def path_of(place: str | Path) -> Path:
    """Return what stands for a place: a path, or universal_pathlib's likeness of one.

    Raises:
        InputError: the package for this storage is not installed.
    """
    if not is_on_store(place):
        return Path(place) if isinstance(place, str) else place
    from upath import UPath

    file_system(str(place))
    return cast(Path, UPath(str(place), **cast(Any, _OPTIONS)))


def is_remote(path: Path) -> bool:
    """Return whether a path of `path_of` lies on object storage."""
    return not isinstance(path, Path)


def file_system(address: str) -> Any:
    """Return fsspec's file system for an address, one per process.

    Raises:
        InputError: its package is not installed, or what is configured for it is wrong.
    """
    import fsspec

    scheme = address.partition(":")[0]
    # gcsfs logs a traceback for what it raises: where nobody logs, one screen is enough.
    logging.getLogger(STORES[scheme]).addHandler(_QUIET)
    with as_pet_error(address):
        try:
            return fsspec.filesystem(scheme, **_OPTIONS)
        except ImportError:
            raise missing_package(STORES[scheme], scheme, f"{scheme}://...") from None


def key_of(address: str) -> str:
    """Return an address as fsspec's file systems take it: bucket and key."""
    return address.partition("://")[2].rstrip("/")


@contextlib.contextmanager
def as_disk_error(address: object) -> Iterator[None]:
    """Raise errors of object storage's clients as the OSError that a disk would raise."""
    try:
        yield
    except Exception as error:
        found = as_os_error(error, str(address))
        if found is None or found is error:
            raise
        raise found from error


@contextlib.contextmanager
def as_pet_error(address: str) -> Iterator[None]:
    """Raise errors of object storage's clients as a `PetError`.

    Raises:
        InputError: what a user can put right: no such bucket, no credentials, no permission.
        PetError: the storage does not answer, or not well.
    """
    try:
        yield
    except Exception as error:
        found = as_os_error(error, address)
        if found is None:
            raise
        raise storage_error(address, found) from found


def as_os_error(error: Exception, address: str) -> OSError | None:
    """Return an error of object storage as an OSError with number and text; None for others."""
    about_a_disk = isinstance(error, OSError) and str(error.filename or "").startswith(os.sep)
    if isinstance(error, PetError) or about_a_disk:
        return None
    text = (str(error).splitlines() or [""])[0] or type(error).__name__
    if isinstance(error, OSError):
        return error if error.errno and error.filename else _numbered(error, text, address)
    if not type(error).__module__.startswith(_CLIENTS):
        return None
    if type(error).__name__ in _NO_CREDENTIALS:
        return OSError(errno.EACCES, f"no credentials: {text}", address)
    return OSError(errno.EREMOTEIO, text, address)


def _numbered(error: OSError, text: str, address: str) -> OSError:
    """s3fs raises the right children of OSError, but most of them without a number."""
    kinds = {
        FileNotFoundError: errno.ENOENT,
        PermissionError: errno.EACCES,
        FileExistsError: errno.EEXIST,
        TimeoutError: errno.ETIMEDOUT,
    }
    number = next((n for kind, n in kinds.items() if isinstance(error, kind)), None)
    return OSError(number or error.errno or errno.EREMOTEIO, error.strerror or text, address)


def storage_error(address: str, error: OSError) -> PetError:
    """Explain in one screen what is wrong with a place on object storage."""
    found = error.strerror or str(error)
    if error.errno == errno.ENOENT:
        expected, fix = "a bucket that is there", "check the name; buckets are not made by pet"
        return InputError(Problem(address, expected, found, fix))
    if error.errno in (errno.EACCES, errno.EPERM):
        fix = "look after credentials and permissions: list, get; for --out put and delete, too"
        return InputError(Problem(address, "a bucket that you may use", found, fix))
    return outage(address, "object storage that answers", found, "network and address")


def open_binary(path: Path) -> BinaryIO:
    """Open a file to be read, wherever it lies.

    One on object storage comes in ranges as they are asked for; if another takes its place
    meanwhile, its ETag tells, and reading fails.
    """
    if not is_remote(path):
        return path.open("rb")
    with as_disk_error(path):
        opened = cast(Any, path).open(
            "rb",
            block_size=BLOCK_BYTES,
            cache_type="blockcache",
            cache_options={"maxblocks": BLOCKS},
        )
    return cast(BinaryIO, io.BufferedReader(_Ranges(opened, str(path)), 1 << 20))


class _Ranges(io.RawIOBase):
    """A file of fsspec, with a disk's errors."""

    def __init__(self, file: Any, address: str):
        self._file, self._address = file, address

    def readinto(self, buffer: Any) -> int:
        with as_disk_error(self._address):
            return int(self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file does: its size, then times and inode, or the ETag.

    A program can set the time of the last write, but not that of the last change.
    """
    if not is_remote(path):
        status = path.stat()
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    with as_disk_error(path):
        info = file_system(str(path)).info(key_of(str(path)))
    return int(info["size"]), version_of(info)


def version_of(info: dict[str, Any]) -> str:
    """Return the ETag in fsspec's record of an object."""
    return str(info.get("ETag") or info["etag"]).strip('"')


def kind_of(path: Path) -> str | None:
    """Return whether an address is that of a "file" or of a "directory"; None if nothing is there.

    Raises:
        InputError: the bucket cannot be used.
        PetError: the storage does not answer.
    """
    with as_pet_error(str(path)):
        try:
            return str(file_system(str(path)).info(key_of(str(path)))["type"])
        except FileNotFoundError:
            _refuse_bucket(str(path))
            return None


def names_in(address: str) -> list[str]:
    """Name what is directly below an address; nothing, where there is no such folder.

    Raises:
        InputError: the bucket cannot be used.
        PetError: the storage does not answer.
    """
    with as_pet_error(address):
        try:
            found = file_system(address).ls(key_of(address), detail=False)
        except FileNotFoundError:
            _refuse_bucket(address)
            return []
    return [key.rstrip("/").rpartition("/")[2] for key in found]


def _refuse_bucket(address: str) -> None:
    """Raise if it is the bucket that is missing: below one that is there, nothing is no error.

    The bucket itself is asked for: clients tell the two apart by their texts at best, and a text
    may be any name that a user has chosen.
    """
    bucket = key_of(address).partition("/")[0]
    try:
        file_system(address).info(bucket)
    except FileNotFoundError:
        raise FileNotFoundError(f"no bucket of the name {bucket}") from None
    except OSError:
        return  # who may only use a part of a bucket may not look at it as a whole


def files_below(address: str) -> dict[str, dict[str, Any]]:
    """List all objects below an address: what fsspec says of each, by relative name.

    Raises:
        InputError: the bucket cannot be used.
        PetError: the storage does not answer.
    """
    root = f"{key_of(address)}/"
    with as_pet_error(address):
        found = file_system(address).find(root, detail=True)
    # A console makes an empty object for a folder.
    return {key.removeprefix(root): info for key, info in found.items() if not key.endswith("/")}
