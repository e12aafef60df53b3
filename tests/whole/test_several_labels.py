"""A run of several labels a text, from the task file to predictions; and what refuses such runs."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.certifying.certificates import take_certificate
from pet.certifying.drawing import Request, draw_rows
from pet.certifying.shares import draw_for_shares, estimate
from pet.checking.check import check_inputs
from pet.checking.zero_shot import label_zero_shot
from pet.data.labeled import read_labeled
from pet.ensemble import joint_training
from pet.ensemble.logits import read_logits
from pet.errors import InputError
from pet.finished.exports import export_run
from pet.finished.finished_run import open_run
from pet.finished.inference import evaluate_run, label_new_pool, predict_texts
from pet.finished.predictors import predictor_of
from pet.finished.transfer import measure_transfer
from pet.nightly.ledger import read_entries
from pet.nightly.night import label_new
from pet.nightly.weekly_shares import weekly_shares
from pet.pipeline import label_pool
from pet.progress import SILENT, no_tick
from pet.reporting.report_page import write_page
from pet.reviewing.review_rows import write_review
from pet.reviewing.reviewed import take_answers
from pet.storage.files import read_record
from pet.student import exits
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.nights import arrive, night_settings
from tests.support.run_files import label_rows, label_table, scores_in


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_label_files_hold_lists_probabilities_and_what_is_in_doubt(several_run: Path) -> None:
    table = label_table(several_run / "labels")
    assert table.schema.field("labels").type == pa.list_(pa.string())
    assert "label" not in table.column_names
    thresholds = read_record(several_run / "student" / "pet.json")["thresholds"]
    for row in table.to_pylist():
        chances = list(row["probabilities"].values())
        given = [n for n, p, t in zip(samples.LABELS, chances, thresholds, strict=True) if p >= t]
        assert row["labels"] == given
        sure = [p if n in given else 1 - p for n, p in zip(samples.LABELS, chances, strict=True)]
        assert list(row["abstain"].values()) == [own < 0.4 for own in sure]
        assert row["confidence"] == pytest.approx(np.prod(sure), abs=1e-5)


def test_probabilities_are_of_each_label_by_itself(several_run: Path) -> None:
    sums = [sum(row["probabilities"].values()) for row in label_rows(several_run / "labels")]
    assert max(abs(total - 1) for total in sums) > 0.01


def test_the_report_has_f1_and_every_label_and_what_goes_together(several_run: Path) -> None:
    report = read_record(several_run / "report.json")
    student = report["test"]["student"]
    assert 0 <= student["micro_f1"] <= 1
    assert [own["rows"] for own in student["by_label"]] == [2, 2, 1]
    assert "confusion" not in student
    assert report["sets"]["labeled"] | {"rows": 0} == {
        "rows": 0,
        "counts": {"sport": 4, "space": 4, "business": 4},
        "without": 3,
        "together": [[4, 1, 1], [1, 4, 1], [1, 1, 4]],
    }
    for label, rows in report["examples"]["surest"].items():
        given = [{own["label"]: own["probability"] for own in row["given"]} for row in rows]
        own = [chances[label] for chances in given]
        assert own == sorted(own, reverse=True), "the surest of this label, not of all its labels"
    page = write_page(several_run).read_text()
    assert "Label by label" in page
    assert "Confusion matrix" not in page
    assert "any of 3 labels" in page


def test_plain_transformers_gives_each_label_the_probability_of_the_label_files(
    several_run: Path,
) -> None:
    from transformers import pipeline

    student = several_run / "student"
    assert json.loads((student / "config.json").read_text())["problem_type"] == (
        "multi_label_classification"
    )
    classify = pipeline("text-classification", model=str(student), device="cpu")
    text = samples.pool_texts()[0]
    found = classify(text, top_k=None, truncation=True, max_length=32)
    own = label_rows(several_run / "labels")[0]["probabilities"]
    assert {row["label"]: row["score"] for row in found} == pytest.approx(own, abs=1e-3)


def test_texts_are_predicted_and_a_pool_is_labeled_as_in_the_run(
    several_run: Path, several_inputs: Path, tmp_path: Path
) -> None:
    texts = [text for text in samples.pool_texts() if text and text.strip()][:5]
    rows = label_rows(several_run / "labels")
    for row, found in zip(rows, predict_texts(several_run, texts), strict=False):
        assert found["labels"] == row["labels"]
        assert found["abstain"] == [name for name, own in row["abstain"].items() if own]
    for who in ("student", "ensemble"):
        out = tmp_path / who
        pool = str(several_inputs / "pool.parquet")
        _, _, counts = label_new_pool(several_run, pool, out, who, None, SILENT)
        assert counts["rows"] == 37
        assert {"without", "together"} <= counts.keys()
    own = pq.read_table(tmp_path / "student" / "part-00000.parquet")["labels"].to_pylist()
    assert own == [row["labels"] for row in rows[: len(own)]]


def test_a_run_is_evaluated_on_new_sets_of_labels(several_run: Path, several_inputs: Path) -> None:
    test = str(several_inputs / "test.parquet")
    report = read_record(several_run / "report.json")["test"]
    for who in ("student", "ensemble"):
        found = evaluate_run(several_run, test, who, SILENT)
        for name in ("micro_f1", "macro_f1", "accuracy", "ece"):
            assert found[name] == report[who][name], (who, name)


def test_a_killed_run_that_goes_on_gives_the_same_bytes(
    several_inputs: Path, several_run: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    config = config_for(**samples.several(several_inputs, **samples.SHIPPED))
    out = Path(config.out)

    class Kill(Exception):
        pass

    class Killing(type(SILENT)):  # type: ignore[misc]
        def begin(self, stage: str, total: int | None, unit: str) -> None:
            if "student" in stage:
                raise Kill

    with pytest.raises(Kill):
        label_pool(config, observer=Killing())
    assert not (out / "labels").exists()
    label_pool(config)
    for path in (several_run / "labels").glob("*.parquet"):
        known, own = (pq.read_table(folder / path.name) for folder in (path.parent, out / "labels"))
        assert known.equals(own), path.name
    for name in ("student/model.safetensors", "student/pet.json"):
        assert (out / name).read_bytes() == (several_run / name).read_bytes(), name


@pytest.mark.parametrize(
    "changes",
    [
        {"generations": 1, "growth_factor": 2},
        {"generations": 1, "train_from": 8, "encoder": "bert", "drawn_labels": "hard"},
        {"weights": "agreement", "member": {"steps": 2, "batch_size": 4, "tuning": "lora"}},
    ],
)
def test_generations_encoder_and_adapters_end_in_labels(
    changes: dict[str, Any],
    several_inputs: Path,
    config_for: Callable[..., Any],
    model_folder: ModelFolder,
) -> None:
    if "encoder" in changes:
        changes = {**changes, "encoder": str(model_folder("bert"))}
    report = label_pool(config_for(**samples.several(several_inputs, **changes)))
    assert report["labels"]["rows"] == 37
    assert all(weight >= 0 for weight in report["weights"].values())


def test_adapters_start_from_another_run_and_are_compared(
    several_inputs: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    inputs = samples.several(several_inputs, **samples.adapted("lora"))
    first = config_for(**inputs, out=str(tmp_path / "first"))
    label_pool(first)
    second = config_for(**inputs, out=str(tmp_path / "second"), init_from=first.out, seed=5)
    label_pool(second)
    runs = [Path(first.out), Path(second.out)]
    found = measure_transfer(runs, SILENT)["accuracy"]
    for place, run in enumerate(runs):
        patterns = read_record(run / "report.json")["test"]["patterns"]
        assert len(patterns) == 3
        assert 0 <= found["matrix"][place][place] <= 1
    assert found["untrained"][0] == found["untrained"][1], "the same task on the same rows"


def test_one_teacher_learns_all_labels_of_a_text(
    several_inputs: Path, config_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_training, "JOINT_ROWS", 2)
    monkeypatch.setattr(joint_training, "is_clearly_higher", lambda losses, others: False)
    changes = {"joint": {"steps": 60}, "member": {"steps": 0}, "lora": {"rank": 2}}
    config = config_for(**samples.several(several_inputs, **changes))
    report = label_pool(config)
    losses = read_record(Path(config.out) / "joint" / "done.json")["losses"]
    assert np.mean(losses[-9:]) < 0.8 * np.mean(losses[:9])
    assert report["labels"]["rows"] == 37


def test_rows_leave_a_student_that_is_sure_of_every_label(
    several_inputs: Path, config_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits, "choose_threshold", lambda sure, _: float(np.median(sure)))
    student = {**samples.TINY["student"], "exits": True}
    config = config_for(**samples.several(several_inputs, student=student))
    report = label_pool(config)
    layers = report["labels"]["layers"]
    assert 0 < layers[0] < sum(layers) == 37
    assert 0 <= report["exits"]["held_out"]["agreement"] <= 1
    opened = open_run(Path(config.out))
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    plain, own = (
        predictor_of(opened, "student", exits=on)({"text": texts}, no_tick) for on in (False, True)
    )
    stayed = own.layers == 2
    np.testing.assert_allclose(own.probabilities[stayed], plain.probabilities[stayed], atol=1e-5)
    written = label_table(Path(config.out) / "labels")["labels"].to_pylist()
    assert own.chosen is not None
    assert written == [[samples.LABELS[n] for n in np.flatnonzero(row)] for row in own.chosen]


def test_check_shows_how_well_each_label_is_ranked(
    several_inputs: Path, model_folder: ModelFolder
) -> None:
    options = samples.several(several_inputs, model=str(model_folder("bert")))
    found = check_inputs({**options, "pool": str(several_inputs / "pool.parquet")})
    assert found["labeled"]["counts"] == {"sport": 4, "space": 4, "business": 4}
    assert set(found["zero_shot"]["areas"]) == set(samples.LABELS)
    assert found["estimate"]["members"] > 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"labeled": None, "test": None}, "labeled rows"),
        ({"calibration": "none"}, "calibration"),
        ({"preset": "paper"}, "preset"),
        ({"keep_columns": ["labels"]}, "keep_columns"),
    ],
)
def test_settings_that_are_not_built_are_refused_before_anything_is_written(
    changes: dict[str, Any], named: str, several_inputs: Path, config_for: Callable[..., Any]
) -> None:
    config = config_for(**samples.several(several_inputs, **changes))
    with pytest.raises(InputError, match=named):
        label_pool(config)
    assert not Path(config.out).exists()


def test_what_knows_one_label_a_text_refuses_such_a_task_and_writes_nothing(
    several_run: Path, several_inputs: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    pool, out = str(several_inputs / "pool.parquet"), tmp_path / "out"
    task, bert = str(several_inputs / "task.toml"), str(model_folder("bert"))
    before = contents(several_run)
    with pytest.raises(InputError, match="one label a text, for --suggest-words"):
        check_inputs(samples.several(several_inputs, model=bert, pool=pool), with_words=True)
    with pytest.raises(InputError, match=r"a table \[prior\]"):
        label_zero_shot(task, pool, str(out), bert, SILENT)
    assert not out.exists()
    assert contents(several_run) == before


def test_one_label_and_several_do_not_share_a_run_folder(
    several_inputs: Path, several_run: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(several_run, tmp_path / "copy"))
    with pytest.raises(InputError):
        label_pool(config_for(out))


def test_people_choose_sets_of_labels_and_the_next_run_learns_from_them(
    several_run: Path, tmp_path: Path
) -> None:
    for by in ("coverage", "doubt"):
        _, chosen = write_review(several_run, tmp_path / f"{by}.csv", 5, SILENT, by=by)
        assert len(chosen) == 5
    given = {row["id"]: row for row in label_rows(several_run / "labels")}
    for row in chosen:
        assert json.loads(row.label) == given[row.id]["labels"]
        assert row.confidence == pytest.approx(given[row.id]["confidence"], abs=1e-3)
    with (tmp_path / "doubt.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    answers = ['["space", "sport"]', "[]", "business", "", ""]
    for line, answer in zip(rows, answers, strict=True):
        line["answer"] = answer
    with (tmp_path / "answers.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    for name in ("labeled.jsonl", "labeled.parquet"):
        taken = take_answers(several_run, tmp_path / "answers.csv", tmp_path / name, SILENT)
        assert (taken.added, taken.unanswered) == (3, 2)
        found = read_labeled(tmp_path / name, ["text"], samples.LABELS, several=True)
        assert found.labels[-3:].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
        assert len(found) == 15
    rows[0]["answer"] = "sport; space"
    with (tmp_path / "wrong.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    with pytest.raises(InputError, match="other answers: 'sport; space'"):
        take_answers(several_run, tmp_path / "wrong.csv", tmp_path / "more.jsonl", SILENT)


def test_nights_label_new_files_draw_rows_for_people_and_notice_drift(
    several_run: Path, several_inputs: Path, tmp_path: Path
) -> None:
    labeled = several_inputs / "labeled.parquet"
    watched = {"rows_a_night": 4, "rows_below": 3}
    config = night_settings(tmp_path, several_run, labeled, certify=watched, drift={"rows": 10})
    config = config.model_copy(update={"labeled": str(labeled)})
    arrive(tmp_path / "pool", "monday.csv", 12)
    found = label_new(config)
    assert found["rows"] == 12
    [folder] = (path for path in Path(found["labels"]).iterdir() if path.is_dir())
    table = pq.read_table(folder)
    assert table.schema.field("labels").type == pa.list_(pa.string())
    counts = Counter(label for row in table["labels"].to_pylist() for label in row)
    assert found["counts"] == {name: counts[name] for name in samples.LABELS}
    assert read_entries(tmp_path / "store")[-1].sketch is not None
    drawn = Path(found["errors"]["drawn"])
    record = read_record(drawn.with_suffix(".json"))
    own = dict(zip(table["id"].to_pylist(), table["labels"].to_pylist(), strict=True))
    assert [json.loads(row["label"]) for row in record["rows"]] == [
        own[row["id"]] for row in record["rows"]
    ]
    right = {f"{row['file']}:{row['id']}": row["label"] for row in record["rows"]}
    lines = list(right.items())
    samples.write_csv(drawn, lines, ("id", "answer"))
    again = label_new(config)["errors"]
    assert (again["answered"], again["wrong"]) == (record["strata"]["kept"]["drawn"], 0)
    [week] = weekly_shares(tmp_path / "store")
    assert week["rows"] == 12
    assert week["shares"]["sport"]["counted"] == round(counts["sport"] / 12, 6)


SHARES = {"sport": 0.5, "space": 0.2, "business": 0.1}


def with_prior(folder: Path, more: str = "") -> str:
    """Write the task with its labels' shares."""
    lines = [f"{label} = {share}\n" for label, share in SHARES.items()]
    path = folder / "known.toml"
    path.write_text(f"{samples.several_toml()}\n[prior]\n{''.join(lines)}{more}")
    return str(path)


def test_a_start_without_labeled_rows_gives_the_pool_the_shares_of_the_task(
    several_inputs: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    changes = {
        **samples.several(several_inputs, **samples.SHIPPED),
        "task": with_prior(tmp_path),
        "labeled": None,
        "generations": 2,
        "first_rows": 6,
        "growth_factor": 2,
    }
    config = config_for(**changes)
    report = label_pool(config)
    assert len(report["generations"]) > 1
    assert "labeled" not in report
    run = open_run(Path(config.out))
    soft = read_logits(run.folder / "soft_labels" / "part-00000.parquet")[1]
    soft = scores_in(run.folder / "soft_labels")
    means = run.outcome.unsoften(soft, config.temperature).mean(axis=0)
    assert means == pytest.approx(list(SHARES.values()), abs=1e-3)
    again = predict_texts(run.folder, ["the team won"])[0]
    assert set(again["probabilities"]) == set(samples.LABELS)


def test_an_untrained_model_labels_a_pool_by_the_tasks_shares(
    several_inputs: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    task, bert = with_prior(tmp_path), str(model_folder("bert"))
    pool = str(several_inputs / "pool.parquet")
    settings = ("max_length=32", "device=cpu")
    out = tmp_path / "out"
    _, _, counts = label_zero_shot(task, pool, str(out), bert, SILENT, settings=settings)
    assert counts["rows"] == 37
    table = pq.read_table(sorted(out.glob("part-*.parquet"))[0])
    assert table.schema.field("labels").type == pa.list_(pa.string())
    chances = [list(row.values()) for row in table["probabilities"].to_pylist()]
    assert np.mean(chances, axis=0) == pytest.approx(list(SHARES.values()), abs=1e-3)


def test_rules_speak_for_labels_beside_others(
    several_inputs: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    task = tmp_path / "ruled.toml"
    task.write_text(samples.several_toml() + samples.RULES)
    inputs = samples.several(several_inputs, **samples.SHIPPED)
    config = config_for(**{**inputs, "task": str(task), "generations": 1, "growth_factor": 2})
    report = label_pool(config)
    rocket, silent = report["rules"]["rocket"], report["rules"]["silent"]
    assert rocket["coverage"] > 0
    assert rocket["conflict"] == 0
    assert (silent["coverage"], silent["added"]) == (0, 0)
    rows = [own for text, own in samples.set_rows() if "rocket" in text or "orbit" in text]
    right = sum("space" in own for own in rows)
    assert report["labeled"]["rules"]["rocket"] == {"rows": len(rows), "right": right}
    assert "without_rules" in report["test"]
    assert 'id="rules"' in write_page(Path(config.out)).read_text()
    found = check_inputs({"task": str(task), "labeled": inputs["labeled"]})
    assert found["rules"]["rocket"]["labeled"] == {"rows": len(rows), "right": right}


def answer_draw(path: Path, answers: dict[str, list[str]]) -> Path:
    """Write people's answers into the file of a draw."""
    lines = list(map(json.loads, path.read_text().splitlines()))
    texts = (json.dumps({**line, "answer": answers[line["id"]]}) + "\n" for line in lines)
    path.write_text("".join(texts))
    return path


def test_drawn_rows_certify_sets_of_labels_and_estimate_each_labels_share(
    several_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(several_run, tmp_path / "several" / "news"))
    given = {row["id"]: row["labels"] for row in label_rows(run / "labels")}
    path = tmp_path / "draw.jsonl"
    request = Request(error=0.3, confidence=0.6, answers=30, precision=0.6)
    draw = draw_rows(run, path, request, SILENT)
    wrong = draw.record["drawn"][0]["id"]
    answers = {**given, wrong: [] if given[wrong] else ["sport"]}
    found = take_certificate(run, answer_draw(path, answers), SILENT)
    assert found["answered"] == len(draw.record["drawn"])
    assert found["wrong"] == 1
    assert set(found["labels"]) == set(samples.LABELS)
    table = label_table(run / "labels")
    row = next(row for row in table.to_pylist() if row["id"] == wrong)
    assert (row["labels"], row["predicted"], row["source"]) == (
        answers[wrong],
        given[wrong],
        "person",
    )
    assert not any(row["abstain"].values())
    drawn = draw_for_shares(run, tmp_path / "shares.jsonl", 25, SILENT)
    assert all(json.loads(own["label"]) == given[own["id"]] for own in drawn.record["drawn"])
    shares = estimate(run, answer_draw(tmp_path / "shares.jsonl", given), SILENT)["shares"]
    rows = sum("sport" in own for own in given.values())
    assert shares["sport"]["predicted"] == pytest.approx(rows / len(given), abs=1e-6)
    assert shares["sport"]["low"] <= rows / len(given) <= shares["sport"]["high"]
    export_run(run, "datasets", tmp_path / "out", who="student")
    exported = pq.read_table(sorted((tmp_path / "out" / "data").glob("*"))[0])
    names = [[samples.LABELS[n] for n in own] for own in exported["labels"].to_pylist()]
    assert names == [given[id] for id in exported["id"].to_pylist()]
