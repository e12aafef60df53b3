"""Loading models: what is refused, what is never opened or run, and what is left alone."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pet.config import ModelRef
from pet.errors import InputError
from pet.models import loading, loading_errors
from pet.models.loading import (
    choose_device,
    load_tokenizer,
    longest_input,
    model_digest,
    model_problems,
    reading_of,
)
from pet.models.model import Classifier
from pet.models.teachers import load_teacher
from tests.conftest import ModelFolder
from tests.support import shortcuts
from tests.support.cloze import CPU, ask, fresh_classifier, load_cloze
from tests.support.tiny_models import POSITIONS


class _Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def bert_copy(model_folder: ModelFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder("bert"), tmp_path / "model.copy"))


def plant_pickle(folder: Path) -> Path:
    mark = folder.parent / "it-ran"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Bomb(mark)))
    return mark


def test_the_planted_pickle_would_really_run(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    mark = plant_pickle(tmp_path / "m")
    pickle.loads((tmp_path / "m" / "pytorch_model.bin").read_bytes())
    assert mark.exists()


LOADERS = {
    "cloze": lambda folder: load_teacher(ModelRef(str(folder)), CPU),
    "fresh": lambda folder: Classifier.fresh(ModelRef(str(folder)), ("a", "b"), CPU, 0),
    "classifier": lambda folder: Classifier.load(str(folder), CPU),
    "digest": lambda folder: model_digest(ModelRef(str(folder))),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_pickled_weights_are_refused_and_never_opened(bert_copy: Path, loader: str) -> None:
    mark = plant_pickle(bert_copy)
    (bert_copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pickled weights only \(pytorch_model\.bin\)"):
        LOADERS[loader](bert_copy)
    assert not mark.exists()


def test_a_pickle_beside_safetensors_is_never_opened(bert_copy: Path) -> None:
    mark = plant_pickle(bert_copy)
    ask(load_cloze(bert_copy), "{text} {mask}")
    assert not mark.exists()


@pytest.mark.parametrize("loader", LOADERS)
def test_a_folder_without_weights_says_so(bert_copy: Path, loader: str) -> None:
    (bert_copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        LOADERS[loader](bert_copy)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_folder_without_configuration_says_so(bert_copy: Path, loader: str) -> None:
    (bert_copy / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json"):
        LOADERS[loader](bert_copy)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c", "nothing.model"])
def test_a_missing_folder_is_not_looked_up_on_the_hub(loader: str, name: str) -> None:
    with pytest.raises(InputError, match="no such folder"):
        LOADERS[loader](name)


def test_a_hub_model_that_cannot_be_reached_is_one_screen(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InputError, match="offline, give the path of a local folder"):
        load_teacher(ModelRef("nobody/nothing-of-that-name"), CPU)
    assert capfd.readouterr() == ("", "")


def test_a_hub_out_of_reach_is_asked_once_and_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own retries keep a user with a slip in a path waiting for half a minute."""
    asked = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            asked.append(timeout)
            raise OSError("no route to host")

    monkeypatch.setattr(loading.hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(loading, "get_session", Session)
    with pytest.raises(InputError, match="no route to host"):
        model_digest(ModelRef("nobody/nothing-of-that-name"))
    assert asked == [loading.HUB_SECONDS]


def test_a_fetched_model_without_its_folder_is_refused_with_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PET_CACHE", str(tmp_path))
    (tmp_path / "models" / "bert-tiny").mkdir(parents=True)
    with pytest.raises(InputError, match=f"fetched: {tmp_path}/models/bert-tiny"):
        model_digest(ModelRef("bert-tiny"))


def test_a_folder_has_no_revision(bert_copy: Path) -> None:
    """It would be loaded as it is, whatever was asked for."""
    with pytest.raises(InputError, match=f"{bert_copy}@v1\n(.|\n)*give {bert_copy} alone"):
        model_digest(ModelRef.of(f"{bert_copy}@v1"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.safetensors", "its weights\n  expected: a model that transformers can load"),
        ("config.json", r"config\.json is no JSON object"),
        ("tokenizer.json", "its tokenizer\n  expected: a model that transformers can load"),
    ],
)
def test_a_damaged_model_is_the_users_to_correct(bert_copy: Path, name: str, said: str) -> None:
    path = bert_copy / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=said):
        load_teacher(ModelRef(str(bert_copy)), CPU)


def test_a_damaged_file_is_named_and_only_that_is_called_damaged(bert_copy: Path) -> None:
    path = bert_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"again: model\.safetensors is damaged"):
        load_teacher(ModelRef(str(bert_copy)), CPU)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ValueError(
                "The checkpoint has model type `own` but Transformers does not recognize it"
            ),
            "one of the type 'own'",
        ),
        (
            ValueError(
                "Unrecognized configuration class <class 'transformers.GraniteConfig'> for this "
                "kind of AutoModel: AutoModelForSequenceClassification.\nModel type should be one"
            ),
            "a GraniteConfig, for which transformers .* has no AutoModelForSequenceClassification",
        ),
        (
            ImportError("OwnTokenizer requires the Nopackage library but it was not found in your"),
            "pip install nopackage",
        ),
        (ValueError("what nobody knows"), "what nobody knows"),
    ],
)
def test_an_error_of_transformers_is_explained_and_no_file_blamed(
    bert_copy: Path, error: Exception, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught, model_problems(str(bert_copy)):
        raise error
    assert "damaged" not in str(caught.value)


def _as_transformers_without_sentencepiece() -> None:
    try:
        raise ModuleNotFoundError("No module named 'tiktoken'", name="tiktoken")
    except ModuleNotFoundError as error:
        raise ValueError("`tiktoken` is required to read a `tiktoken` file.") from error


def test_a_vocabulary_that_needs_sentencepiece_says_so(
    bert_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformers reads it as a file of tiktoken's in the end, and asks for that."""
    monkeypatch.setattr(loading_errors, "find_spec", lambda name: None)
    with (
        pytest.raises(InputError, match=r"package sentencepiece\n.*\n.*'pet\[sentencepiece\]'"),
        model_problems(str(bert_copy)),
    ):
        _as_transformers_without_sentencepiece()


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "mpnet", "longformer", "gpt2", "opt", "bart", "llama", "deberta"]
)
def test_a_model_can_take_as_many_tokens_as_it_has_places_for(
    model_folder: ModelFolder, kind: str
) -> None:
    """One more, and its table of places ends in an IndexError."""
    ref = ModelRef(str(model_folder(kind)))
    assert longest_input(ref) == POSITIONS


def plant_code(folder: Path, model_type: str) -> Path:
    """Let the configuration name Python files of its own; return the file that they would make."""
    mark = folder.parent / "it-ran"
    code = f"open({str(mark)!r}, 'w').close()\n"
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py"):
        (folder / name).write_text(code)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = model_type
    config["auto_map"] = {
        "AutoConfig": "configuration_own.OwnConfig",
        "AutoModelForMaskedLM": "modeling_own.Own",
        "AutoModelForSequenceClassification": "modeling_own.Own",
    }
    (folder / "config.json").write_text(json.dumps(config))
    of_tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    of_tokenizer["auto_map"] = {"AutoTokenizer": ["tokenization_own.Own", "tokenization_own.Own"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(of_tokenizer))
    return mark


@pytest.mark.parametrize("loader", ["cloze", "fresh", "classifier"])
def test_a_models_own_code_is_never_run(bert_copy: Path, loader: str) -> None:
    mark = plant_code(bert_copy, "own_type")
    with pytest.raises(InputError, match="a model that transformers can load"):
        LOADERS[loader](bert_copy)
    assert not mark.exists()


def test_a_known_model_with_code_of_its_own_is_loaded_without_it(bert_copy: Path) -> None:
    mark = plant_code(bert_copy, "bert")
    with contextlib.suppress(InputError):  # refusing it altogether is as safe
        ask(load_cloze(bert_copy), "{text} {mask}")
    assert not mark.exists()


def test_a_classifier_or_bare_encoder_is_no_language_model(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    model = load_cloze(model_folder("bert"))
    model.tokenizer.save_pretrained(tmp_path / "bare")
    model.module.bert.save_pretrained(tmp_path / "bare")
    fresh_classifier(model_folder("bert")).save(tmp_path / "classifier")
    for name in ("bare", "classifier"):
        with pytest.raises(InputError, match="saved with its head"):
            load_teacher(ModelRef(str(tmp_path / name)), CPU)


def test_a_language_model_is_no_classifier(model_folder: ModelFolder) -> None:
    with pytest.raises(InputError, match="classifier"):
        Classifier.load(str(model_folder("bert")), CPU)


def test_a_model_that_is_neither_is_refused(bert_copy: Path) -> None:
    config = json.loads((bert_copy / "config.json").read_text())
    config |= {"model_type": "vit", "architectures": ["ViTModel"]}
    (bert_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="a masked or causal language model"):
        reading_of(ModelRef(str(bert_copy)), None)


def test_a_models_digest_is_of_its_content(bert_copy: Path, model_folder: ModelFolder) -> None:
    def digest(folder: Path) -> str:
        return model_digest(ModelRef(str(folder)))

    assert digest(bert_copy) == digest(model_folder("bert"))
    weights = bert_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    assert digest(bert_copy) != digest(model_folder("bert"))


def test_a_model_that_changed_within_a_process_has_another_digest(bert_copy: Path) -> None:
    """A schedule's process runs for weeks; a model retrained in place is another model."""
    before = model_digest(ModelRef(str(bert_copy)))
    weights = bert_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    assert model_digest(ModelRef(str(bert_copy))) != before


def test_a_causal_models_missing_padding_token_is_made_up(model_folder: ModelFolder) -> None:
    tokenizer = load_tokenizer(ModelRef(str(model_folder("gpt2"))))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu") == CPU
    for name in ("cuda:77", "toaster"):
        with pytest.raises(InputError, match="a device of this machine"):
            choose_device(name)


def test_loading_leaves_the_callers_generators_alone(model_folder: ModelFolder) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    load_cloze(model_folder("bert"))
    fresh_classifier(model_folder("bert"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_where_the_files_header_ends_does_not_move_the_weights(
    bert_copy: Path, padding: int
) -> None:
    """On some processors matrix products round by where a weight lies in memory."""
    path = bert_copy / "model.safetensors"
    weights = load_file(path)
    save_file(weights, path, metadata={"format": "pt", "of": "x" * 8 * padding})
    with shortcuts.none():
        module = load_cloze(bert_copy).module
    places = {tensor.data_ptr() % loading.ALIGNMENT for tensor in module.parameters()}
    assert places == {0}
    own = module.state_dict()
    assert all(torch.equal(own[name], weight) for name, weight in weights.items() if name in own)
