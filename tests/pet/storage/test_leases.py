"""One process at a time works on a prefix of a bucket; a dead one keeps nobody out for long."""

from __future__ import annotations

import json
import os
import socket
import threading
from datetime import timedelta
from typing import Any

import pytest

from pet.errors import InputError, LockedError
from pet.storage import leases
from pet.storage.leases import Lease, leased
from pet.storage.object_storage import file_system
from tests.pet.storage.test_locks import hold


def write_lock(bucket: str, **changes: Any) -> None:
    own = {"process": os.getpid(), "host": "elsewhere", "token": "x", **changes}
    file_system(bucket).pipe_file(f"{bucket}/run/.lock", json.dumps(own).encode())


def test_a_second_process_is_turned_away_and_the_lock_is_given_back(bucket: str) -> None:
    said: list[str] = []
    with leased(f"{bucket}/run"):
        with (
            pytest.raises(LockedError, match=f"process {os.getpid()} on "),
            leased(f"{bucket}/run"),
        ):
            pass
        with leased(f"{bucket}/other"):
            pass
    with leased(f"{bucket}/run", said.append):
        pass
    assert said == []
    assert file_system(bucket).find(bucket) == []


def test_the_lock_of_a_machine_that_died_ends_with_its_lease(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(bucket)
    with pytest.raises(LockedError, match=r"on elsewhere[\s\S]*its lock ends \d+ s from now"):
        Lease(f"{bucket}/run").take(print)
    now = Lease(f"{bucket}/run")._now()
    later = timedelta(seconds=leases.LEASE_SECONDS + 60)
    monkeypatch.setattr(Lease, "_now", lambda lease: now + later)
    said: list[str] = []
    with leased(f"{bucket}/run", said.append):
        pass
    assert said == [f"the lock of process {os.getpid()} on elsewhere, which is gone, is taken over"]


def test_a_clock_that_is_ahead_takes_no_lock_from_whoever_holds_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a sleep a machine may be minutes off: a lock renewed just now looked abandoned."""
    import datetime as clock

    class Ahead(clock.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + timedelta(minutes=10)

    write_lock(bucket)
    monkeypatch.setattr(leases, "datetime", Ahead, raising=False)
    with pytest.raises(LockedError):
        Lease(f"{bucket}/run").take(print)
    assert [name.rpartition("/")[2] for name in file_system(bucket).find(bucket)] == [".lock"]


def test_the_lock_of_a_process_of_this_machine_that_died_is_taken_over_at_once(
    bucket: str, tmp_path: Any
) -> None:
    """After a kill, the same command goes on: nobody waits two minutes for himself."""
    with hold(tmp_path) as dead:
        dead.kill()
    write_lock(bucket, process=dead.pid, **leases.where_processes_are())
    said: list[str] = []
    with leased(f"{bucket}/run", said.append):
        pass
    assert len(said) == 1


@pytest.mark.parametrize("other", ["host", "boot", "namespace"])
def test_a_process_of_another_container_is_not_taken_for_dead(
    bucket: str, tmp_path: Any, other: str
) -> None:
    """Its number is nobody's here; two runs would write to one folder."""
    with hold(tmp_path) as dead:
        dead.kill()
    write_lock(bucket, process=dead.pid, **{**leases.where_processes_are(), other: "another"})
    with pytest.raises(LockedError, match=f"held by process {dead.pid}"):
        Lease(f"{bucket}/run").take(print)


def test_a_lock_of_an_earlier_version_ends_with_its_lease(bucket: str, tmp_path: Any) -> None:
    with hold(tmp_path) as dead:
        dead.kill()
    write_lock(bucket, process=dead.pid, host=socket.gethostname())
    with pytest.raises(LockedError, match="its lock ends"):
        Lease(f"{bucket}/run").take(print)


def test_a_lock_that_nobody_can_read_is_nobodys_once_its_lease_is_over(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"", b"[]", b"{", b'{"process": "1", "host": 5}'):
        file_system(bucket).pipe_file(f"{bucket}/run/.lock", content)
        with pytest.raises(LockedError, match="held by"):
            Lease(f"{bucket}/run").take(print)
    monkeypatch.setattr(leases, "LEASE_SECONDS", -100)
    Lease(f"{bucket}/run").take(print)


def test_a_lock_is_renewed_while_it_is_held(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run of an hour would be anybody's after two minutes."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.04)
    renewed = threading.Event()
    pipe_file = file_system(bucket).pipe_file

    def note(key: str, content: bytes, mode: str = "overwrite") -> None:
        pipe_file(key, content, mode=mode)
        if mode == "overwrite":
            renewed.set()

    with leased(f"{bucket}/run") as lease:
        monkeypatch.setattr(lease._files, "pipe_file", note)
        assert renewed.wait(60)
        lease.check()


def test_who_has_lost_the_lock_sees_it_and_leaves_the_others_alone(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.04)
    lease = Lease(f"{bucket}/run")
    lease.take(print)
    write_lock(bucket)
    lease.renew()  # ends by itself
    with pytest.raises(LockedError, match="on elsewhere"):
        lease.check()
    lease.give_back()
    assert b"elsewhere" in file_system(bucket).cat_file(f"{bucket}/run/.lock")


def test_no_lock_can_be_had_in_a_bucket_that_is_not_there(bucket: str) -> None:
    with pytest.raises(InputError, match="a bucket that is there"), leased(f"{bucket}-no/run"):
        pass
