"""Runs whose members are adapters: on disk, in memory, killed, read back by another process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pet.config import ModelRef
from pet.ensemble.logits import read_logits
from pet.errors import InputError, Interrupted
from pet.finished.inference import evaluate_run, label_new_pool
from pet.models import teachers
from pet.models.prefix import Prefix
from pet.models.teachers import Backbone
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.storage.files import read_json
from tests.conftest import ModelFolder
from tests.pet.test_pipeline import Counter, results_of
from tests.support import samples
from tests.support.marks import thorough
from tests.support.run_files import scores_in

Configure = Callable[..., Any]
TUNINGS = ("lora", "prefix", "soft-prompt", "ia3", "pfeiffer", "bitfit")
SMALL, changes, MEMBERS = samples.ADAPTERS, samples.adapted, samples.MEMBERS


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_members_folder_holds_an_adapter_and_no_copy_of_the_model(
    adapted_runs: dict[str, Path], model_folder: ModelFolder, tuning: str
) -> None:
    whole = (model_folder("bert") / "model.safetensors").stat().st_size
    for name in MEMBERS:
        folder = adapted_runs[tuning] / "members" / name
        assert not (folder / "model.safetensors").exists()
        assert (folder / "adapter_model.safetensors").stat().st_size < whole / 4
        known = read_json(folder / "backbone.json")
        assert known["ref"] == str(model_folder("bert"))
        assert known["tuning"] == tuning
        assert not list(folder.rglob("tokenizer*"))


@pytest.mark.parametrize("tuning", TUNINGS)
def test_members_of_one_backbone_say_different_things(
    adapted_runs: dict[str, Path], tuning: str
) -> None:
    """An adapter that was not in force would let its member speak as the untrained model."""
    members = adapted_runs[tuning] / "members"
    for name in samples.PATTERNS:
        before = read_logits(members / f"untrained-{name}" / "logits" / "test.parquet")[1]
        after = read_logits(members / f"g0-{name}-r0" / "logits" / "test.parquet")[1]
        assert not np.allclose(before, after, atol=1e-2)


@pytest.mark.thorough
def test_another_process_finds_every_kind_of_member_as_it_was_trained(
    adapted_runs: dict[str, Path], inputs_folder: Path
) -> None:
    """Whatever lives in this process's memory only is lost there."""
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from pet.finished.finished_run import open_run\n"
        "from pet.finished.predictors import ensemble_predictor\n"
        "from pet.progress import no_tick\n"
        "texts = {'text': json.loads(sys.argv[1])}\n"
        "for run in sys.argv[2:]:\n"
        "    said = ensemble_predictor(open_run(Path(run)))(texts, no_tick)\n"
        "    print(json.dumps(said.probabilities.tolist()))\n"
    )
    texts = [text or "" for text in samples.pool_texts() if (text or "").strip()]
    runs = [str(adapted_runs[tuning]) for tuning in TUNINGS]
    said = subprocess.run(
        [sys.executable, "-c", code, json.dumps(texts), *runs],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    for tuning, line in zip(TUNINGS, said.stdout.splitlines(), strict=True):
        kept = scores_in(adapted_runs[tuning] / "soft_labels")
        tempered = np.sqrt(np.array(json.loads(line)))  # soft labels are those at temperature 2
        assert np.allclose(tempered / tempered.sum(axis=1, keepdims=True), kept, atol=1e-4)


@pytest.mark.faults
@pytest.mark.parametrize("tuning", ["prefix", "bitfit"])  # both change the module itself
def test_a_killed_run_of_adapters_ends_with_the_same_bytes(
    adapted_runs: dict[str, Path], config_for: Configure, tmp_path: Path, tuning: str
) -> None:
    """A shared backbone must not carry anything over from one member to the next."""
    out = tmp_path / "killed" / "news"
    for stop_at in (8, 6):
        with pytest.raises(Interrupted, match="stopped"):
            label_pool(config_for(out=out, **changes(tuning)), observer=Counter(stop_at))
    label_pool(config_for(out=out, **changes(tuning)))
    assert results_of(out) == results_of(adapted_runs[tuning])


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The language models that are loaded from now on."""
    refs: list[str] = []
    load = teachers.load_teacher

    def count(ref: str, *arguments: Any, **more: Any) -> Any:
        refs.append(ref)
        return load(ref, *arguments, **more)

    monkeypatch.setattr(teachers, "load_teacher", count)
    return refs


def test_an_ensemble_of_adapters_loads_one_model(
    adapted_runs: dict[str, Path],
    inputs_folder: Path,
    model_folder: ModelFolder,
    loaded: list[str],
) -> None:
    for run in adapted_runs.values():
        evaluate_run(run, str(inputs_folder / "test.csv"), "ensemble", SILENT)
    assert loaded == [ModelRef(str(model_folder("bert")))] * len(TUNINGS)


def test_a_new_prefix_starts_from_the_bare_model_whoever_was_asked_before(
    adapted_runs: dict[str, Path], config_for: Configure, model_folder: ModelFolder
) -> None:
    """Beside a teacher that is still in force, it would start from what the teacher computes."""
    run, words = adapted_runs["prefix"], [5, 6, 7]
    config = config_for(**changes("prefix"))
    backbone = Backbone.of(config, run)
    bare = Prefix.fresh(backbone.model.module, words, words, 0, 1)
    teacher = backbone.with_adapter(run / "members" / MEMBERS[0])
    ids = torch.tensor([words])
    with torch.no_grad():
        teacher.forward({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    again = Prefix.fresh(backbone.model.module, words, words, 0, 1)
    for before, after in zip([*bare.keys, *bare.values], [*again.keys, *again.values], strict=True):
        assert torch.equal(before, after)


def test_untrained_members_share_one_model(
    config_for: Configure, tmp_path: Path, loaded: list[str]
) -> None:
    """One copy per pattern, of one and the same model, has filled many a memory."""
    config = config_for(train_from=100)
    label_pool(config)
    pool = samples.write_pool(tmp_path / "new.parquet", ["the team won", "the moon"])
    loaded.clear()
    label_new_pool(Path(config.out), str(pool), tmp_path / "out", "ensemble", None, SILENT)
    assert len(loaded) == 1
    assert pq.read_table(tmp_path / "out" / "part-00000.parquet").num_rows == 2


def test_a_backbone_that_has_changed_is_refused_by_name(
    config_for: Configure, model_folder: ModelFolder, inputs_folder: Path, tmp_path: Path
) -> None:
    """An adapter on other weights than its own says anything."""
    model = Path(shutil.copytree(model_folder("bert"), tmp_path / "model"))
    config = config_for(model=str(model), **changes("lora"))
    label_pool(config)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"evil")
    with pytest.raises(InputError, match=f"{model}(.|\n)*another model of that name"):
        evaluate_run(Path(config.out), str(inputs_folder / "test.csv"), "ensemble", SILENT)


def test_adapters_sit_on_the_model_that_was_adapted_to_the_pool(
    config_for: Configure, inputs_folder: Path
) -> None:
    config = config_for(**changes("lora"), adapt_steps=2)
    label_pool(config)
    run = Path(config.out)
    assert read_json(run / "members" / MEMBERS[0] / "backbone.json")["ref"] == "adapted"
    assert (run / "adapted" / "model.safetensors").is_file()
    reported = read_json(run / "report.json")["test"]["ensemble"]["accuracy"]
    found = evaluate_run(run, str(inputs_folder / "test.csv"), "ensemble", SILENT)
    assert found["accuracy"] == pytest.approx(reported, abs=1e-4)
    backbone = Backbone.of(config, run, "of the teacher")
    assert backbone.digest != "of the teacher"


@pytest.mark.parametrize(
    ("kind", "tuning"),
    [
        ("llama", "prefix"),
        *thorough(("roberta", "lora"), ("llama", "soft-prompt")),
    ],
)
def test_adapters_of_other_models_run_from_end_to_end(
    config_for: Configure, model_folder: ModelFolder, tuning: str, kind: str
) -> None:
    own = {"generations": 1, "growth_factor": 2, "student_model": str(model_folder("bert"))}
    report = label_pool(config_for(model=str(model_folder(kind)), **changes(tuning), **own))
    assert report["labels"]["rows"] == 37
    names = report["generations"][1]["members"]
    for name in names:
        folder = Path(config_for().out) / "members" / name
        assert (folder / "adapter_model.safetensors").is_file()


def test_a_student_of_lora_is_labeled_with(config_for: Configure) -> None:
    student = {"steps": 3, "batch_size": 8, "tuning": "lora"}
    config = config_for(student=student, supervised={"steps": 2})
    report = label_pool(config)
    assert report["labels"]["rows"] == 37
    for unit in ("student", "supervised"):
        assert (Path(config.out) / unit / "model.safetensors").is_file()
        assert not (Path(config.out) / unit / "adapter_config.json").exists()


def test_the_report_lists_the_words_nearest_to_each_learned_vector(
    adapted_runs: dict[str, Path],
) -> None:
    prompts = read_json(adapted_runs["soft-prompt"] / "report.json")["prompts"]
    assert list(prompts) == MEMBERS
    for near in prompts.values():
        assert [len(words) for words in near] == [3] * SMALL["soft_prompt"]["length"]
        assert all(isinstance(word, str) for words in near for word in words)
    page = (adapted_runs["soft-prompt"] / "report.html").read_text(encoding="utf-8")
    assert all(word in page for word in next(iter(prompts.values()))[0])
    assert "prompts" not in read_json(adapted_runs["lora"] / "report.json")
    assert "Soft prompts" not in (adapted_runs["lora"] / "report.html").read_text(encoding="utf-8")
