"""Places that a user names, before anything looks at what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.errors import InputError
from pet.storage.locations import check_places, is_on_store, place_in_pool, place_problem, public


@pytest.mark.parametrize("place", ["runs/a", "C:\\runs", "org/model", "a b", "-", "größe", "a:b"])
def test_paths_and_hub_ids_are_left_alone(place: str) -> None:
    assert place_problem("--pool", place) is None


@pytest.mark.parametrize("place", ["", " ", "s3://bucket/x", "HTTPS://me:pw@host/x?sig=pw", "a\0"])
def test_what_is_no_path_is_refused(place: str) -> None:
    problem = place_problem("--pool", place)
    assert problem is not None
    assert "pw" not in str(problem)


@pytest.mark.parametrize(
    "place", ["s3://bucket", "s3://bucket/a/b c=1/", "gs://my_bucket.x/größe", "runs/s3", "./s3:x"]
)
def test_addresses_of_buckets_and_paths_that_look_alike_are_let_through(place: str) -> None:
    assert place_problem("--pool", place, stores=True) is None
    assert is_on_store(place) == ("://" in place)


@pytest.mark.parametrize(
    "place",
    [
        "s3:bucket",
        "s3:/bucket",
        "S3://bucket",
        "s3://",
        "s3:///a",
        "s3://a/b//c",
        "gs://bu/./a",
        "s3://bucket/../a",
        "s3://key:pw@bucket/a",
        "s3://bucket/a?sig=pw",
        "s3://bucket/a#pw",
        "s3:/key:pw@bucket",
        "gcs://bucket/a",
        "https://bucket.s3.host/a?sig=pw",
        "S3://bucket/a?sig=pw",
        "//me:pw@host/pool.csv",
        "jdbc:postgresql://me:pw@host/texts?password=pw",
        "https://host;password=pw/a",
    ],
)
def test_other_addresses_are_refused_without_their_secrets(place: str) -> None:
    problem = place_problem("--pool", place, stores=True)
    assert problem is not None
    assert "pw" not in str(problem)
    assert not is_on_store(place) or "." in place


def test_all_places_of_a_command_are_checked() -> None:
    with pytest.raises(InputError) as caught:
        check_places(pool="", out="file:///x")
    assert [problem.where for problem in caught.value.problems] == ["--pool", "--out"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:pw@127.0.0.1:42/api?token=pw#pw", "http://127.0.0.1:42"),
        ("https://host/pw", "https://host"),
        ("http://[::1", "one that cannot be read"),
        ("http://host:pw", "one that cannot be read"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(address: str, shown: str) -> None:
    assert public(address) == shown


@pytest.mark.parametrize(
    ("out", "refused"),
    [
        ("pool", True),
        ("pool/out", True),
        ("pool/a/../b", True),
        ("link/out", True),
        ("pool/_out", False),
        ("pool/.runs/a", False),
        ("pool2", False),
        ("out", False),
    ],
)
def test_what_the_pool_would_read_the_next_time_is_no_place_to_write(
    tmp_path: Path, out: str, refused: bool
) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pool")
    assert bool(place_in_pool(str(tmp_path / "pool"), str(tmp_path / out))) == refused


@pytest.mark.parametrize(
    ("out", "refused"),
    [
        ("s3://bkt/pool", True),
        ("s3://bkt/pool/out/", True),
        ("s3://bkt/pool/_out", False),
        ("s3://bkt/pool2", False),
        ("s3://other/pool/out", False),
        ("out", False),
    ],
)
def test_the_same_holds_in_a_bucket(out: str, refused: bool) -> None:
    assert bool(place_in_pool("s3://bkt/pool/", out)) == refused


def test_a_pool_of_one_file_may_have_the_run_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text("text\na\n")
    assert not place_in_pool(str(tmp_path / "pool.csv"), str(tmp_path / "out"))
