"""Members that start from the adapters of another run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from pet.errors import InputError
from pet.finished.finished_run import open_run
from pet.finished.predictors import ensemble_predictor
from pet.inputs.reading import open_session
from pet.inputs.warm_start import adapters_of, counterpart, start_of
from pet.models.soft_prompt import SoftPrompt
from pet.pipeline import label_pool
from pet.progress import no_tick
from pet.storage.files import read_record
from pet.storage.units import DONE
from pet.tasks.task import load_task
from tests.conftest import ModelFolder
from tests.support import samples, tiny_models
from tests.support.cloze import encoder_for, load_cloze, tokenized
from tests.support.lineups import fingerprints as names
from tests.support.lineups import planned
from tests.support.marks import thorough

Configure = Callable[..., Any]
Runs = dict[str, Path]
SMALL, changes, MEMBERS = samples.ADAPTERS, samples.adapted, samples.MEMBERS
WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize(
    "tuning",
    ["lora", *thorough("prefix", "soft-prompt")],
)
def test_a_member_goes_on_from_the_adapter_of_its_pattern(
    adapted_runs: Runs, config_for: Configure, tuning: str
) -> None:
    """With next to no learning rate, it ends where it began: with the other run's weights."""
    run = adapted_runs[tuning]
    settings = changes(tuning, init_from=str(run), seed=5)
    settings["member"]["learning_rate"] = 1e-12
    config = config_for(**settings)
    label_pool(config)
    for name in MEMBERS:
        before = load_file(run / "members" / name / WEIGHTS)
        after = load_file(Path(config.out) / "members" / name / WEIGHTS)
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert value.sub(after[key]).abs().max() < 1e-4, key


def test_a_pattern_of_another_name_takes_the_adapter_in_its_place(
    adapted_runs: Runs, config_for: Configure, tmp_path: Path
) -> None:
    run = adapted_runs["lora"]
    path = tmp_path / "task.toml"
    path.write_text(samples.task_toml().replace("bracket =", "another ="))
    task = load_task(str(path))
    config = config_for(**changes("lora", init_from=str(run)))
    assert [path.name for path in adapters_of(run)] == sorted(MEMBERS)
    assert [start_of(config, task, own.name, 0).name for own in task.patterns] == [
        "g0-category-r0",
        sorted(MEMBERS)[1],
        "g0-last-r0",
    ]
    assert start_of(config_for(), task, "last", 0) is None


def test_members_of_before_an_update_are_nobodys_start(adapted_runs: Runs, tmp_path: Path) -> None:
    """Folders of patterns and repetitions that a run has no more still lie there."""
    run = tmp_path / "run"
    shutil.copytree(adapted_runs["lora"], run)
    for stale in ("g0-category-r1", "g0-aside-r0"):
        shutil.copytree(run / "members" / MEMBERS[0], run / "members" / stale)
    assert [path.name for path in adapters_of(run)] == sorted(MEMBERS)


def test_a_pattern_whose_name_ends_in_another_ones_keeps_its_adapter_to_itself(
    tmp_path: Path,
) -> None:
    """`topic` would start from what `sub-topic` has learned, since that comes first by name."""
    path = tmp_path / "task.toml"
    toml = samples.task_toml(("category", "last"))
    path.write_text(toml.replace("category =", "sub-topic =").replace("last =", "topic ="))
    task = load_task(str(path))
    adapters = [Path(f"g0-{name}-r0") for name in ("sub-topic", "topic")]
    for name in ("sub-topic", "topic"):
        assert counterpart(adapters, task, name, 0).name == f"g0-{name}-r0"
    assert counterpart(adapters[:1], task, "topic", 0) == adapters[0]  # for want of another


def test_what_a_member_starts_from_belongs_to_its_name(
    adapted_runs: Runs, config_for: Configure
) -> None:
    plain = open_session(config_for(**changes("lora"), calibration="none"))
    started = open_session(
        config_for(**changes("lora", init_from=str(adapted_runs["lora"])), calibration="none")
    )
    assert not set(names(plain).values()) & set(names(started).values())
    assert len(planned(started).first) == 3


@pytest.mark.parametrize(
    ("own", "match"),
    [
        (changes("prefix"), r"of lora(.|\n)*member\.tuning=lora"),
        (SMALL, "of lora"),
        (changes("lora", adapt_steps=2), "for another model"),
        (changes("lora", model="roberta"), "for another model"),
    ],
)
def test_adapters_that_do_not_fit_are_refused_before_a_run_begins(
    adapted_runs: Runs,
    config_for: Configure,
    model_folder: ModelFolder,
    own: dict[str, Any],
    match: str,
) -> None:
    own = {**own, "init_from": str(adapted_runs["lora"])}
    if "model" in own:
        own["model"] = str(model_folder(own["model"]))
    config = config_for(**own)
    with pytest.raises(InputError, match=match):
        label_pool(config)
    assert not Path(config.out).exists()


@pytest.fixture(scope="module")
def wide_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of other width than all others here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_models.SMALL, "hidden_size", 48)
        return tiny_models.save_model("bert", tmp_path_factory.mktemp("wide") / "bert")


def projected(run: Path, model: Path, **more: Any) -> dict[str, Any]:
    """Settings of a run that starts from prompts of another model."""
    own = {"model": str(model), "init_from": str(run), "projector": {"steps": 2}}
    return changes("soft-prompt", **{**own, **more})


def test_prompts_of_another_width_are_started_from_through_a_projector(
    adapted_runs: Runs, config_for: Configure, wide_bert: Path
) -> None:
    """What is kept is a plain prompt of the new width: the projector has done its work."""
    config = config_for(**projected(adapted_runs["soft-prompt"], wide_bert))
    label_pool(config)
    for name in MEMBERS:
        folder = Path(config.out) / "members" / name
        assert list(load_file(folder / WEIGHTS)) == ["prompt"]
        assert load_file(folder / WEIGHTS)["prompt"].shape == (3, 48)
        record = read_record(folder / DONE)
        assert (len(record["projector_losses"]), len(record["losses"])) == (2, 2)
    probabilities = ensemble_predictor(open_run(Path(config.out)))({"text": ["the game"]}, no_tick)
    assert probabilities.probabilities.shape == (1, 3)


def test_a_projector_is_trained_and_the_prompt_behind_it_is_not(
    adapted_runs: Runs, wide_bert: Path
) -> None:
    start = adapters_of(adapted_runs["soft-prompt"])[0]
    model = load_cloze(wide_bert)
    model.module.requires_grad_(False)
    prompt = SoftPrompt.projected(model.module, start, 1, 8, 0)
    worn = model.with_adapter(prompt)
    encoder = encoder_for(model.tokenizer, "{mask}: {text}", prompt_length=prompt.prompt_length)
    texts = tokenized(encoder, model.tokenizer, {"text": ["the game", "a rocket"]})
    before = prompt.vectors.detach().clone()
    assert set(worn.trained()) == {"hidden.weight", "hidden.bias", "out.weight", "out.bias"}
    worn.outputs(encoder, texts, np.arange(2)).sum().backward()
    assert prompt.vectors.grad is None
    assert all(own.grad.abs().sum() > 0 for own in prompt.projector.parameters())
    said = worn.outputs(encoder, texts, np.arange(2))
    prompt.fold_projector()
    assert worn.outputs(encoder, texts, np.arange(2)).equal(said)
    assert set(worn.trained()) == {"prompt"}
    assert prompt.vectors.shape == (1, *before.shape[1:2], 48)


def test_the_projector_belongs_to_a_members_name_only_where_it_may_be_used(
    adapted_runs: Runs, config_for: Configure, wide_bert: Path
) -> None:
    run = adapted_runs["soft-prompt"]
    own = [projected(run, wide_bert), projected(run, wide_bert, projector={"steps": 3})]
    one, other = (names(open_session(config_for(**each, calibration="none"))) for each in own)
    assert not set(one.values()) & set(other.values())
    lora = changes("lora", init_from=str(adapted_runs["lora"]), calibration="none")
    with_projector = {**lora, "projector": {"steps": 3}}
    same, again = (names(open_session(config_for(**each))) for each in (lora, with_projector))
    assert same == again


@pytest.mark.parametrize("tuning", ["lora", "prefix"])
def test_only_prompts_go_through_a_projector(
    adapted_runs: Runs, config_for: Configure, wide_bert: Path, tuning: str
) -> None:
    own = {"model": str(wide_bert), "init_from": str(adapted_runs[tuning])}
    config = config_for(**changes(tuning, projector={"steps": 2}, **own))
    with pytest.raises(InputError, match="for another model"):
        label_pool(config)


def test_prompts_of_another_model_are_refused_with_the_setting_that_takes_them(
    adapted_runs: Runs, config_for: Configure, wide_bert: Path
) -> None:
    run = adapted_runs["soft-prompt"]
    config = config_for(**projected(run, wide_bert, projector={"steps": 0}))
    with pytest.raises(InputError, match=r"or --set projector\.steps=100"):
        label_pool(config)


def test_a_run_without_adapters_is_no_start(tiny_run: Path, config_for: Configure) -> None:
    for place in (tiny_run, tiny_run / "nowhere"):
        config = config_for(**changes("lora", init_from=str(place)))
        with pytest.raises(InputError, match=r"a run with adapters \(lora\)(.|\n)*none"):
            label_pool(config)
