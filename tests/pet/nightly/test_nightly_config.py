"""Settings of nights: TOML or JSON, wrong ones reported all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.errors import InputError
from pet.nightly.nightly_config import load_nightly_config

GOOD = 'run = "r"\npool = "p"\nout = "o"\n'


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(GOOD + "[drift]\nrows = 50\n")
    (tmp_path / "n.json").write_text('{"run":"r","pool":"p","out":"o","drift":{"rows":50}}')
    config = load_nightly_config(tmp_path / "n.toml")
    assert config == load_nightly_config(tmp_path / "n.json")
    assert (config.drift.rows, config.drift.words) == (50, 0.05)


def test_everything_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "n.toml"
    path.write_text(
        'run = "r"\npool = "s3://key:secret@x/y"\nretrain_nigths = 3\npredictor = "x"\n'
    )
    with pytest.raises(InputError) as caught:
        load_nightly_config(path)
    message = str(caught.value)
    assert {problem.where.rpartition(" ")[2] for problem in caught.value.problems} == {
        "out",
        "pool",
        "retrain_nigths",
        "predictor",
    }
    assert "did you mean retrain_nights?" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [("n.toml", "run = ", "TOML"), ("n.json", "{", "TOML"), ("n.json", "[3]", "setting")],
)
def test_a_file_of_another_kind_is_one_screen(
    tmp_path: Path, name: str, text: str, found: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=found):
        load_nightly_config(tmp_path / name)
    with pytest.raises(InputError, match="No such file"):
        load_nightly_config(tmp_path / "gone.toml")
