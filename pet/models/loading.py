"""Models found, refused or loaded: safetensors only, no code of their own, one screen if not."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import constants as hub_constants
from huggingface_hub import get_session, try_to_load_from_cache
from huggingface_hub.utils import logging as hub_logging
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED_NAMES
from transformers.utils import logging as hf_logging
from transformers.utils.hub import cached_file

from pet.config import Mask, ModelRef
from pet.errors import InputError, PetError, Problem, first_line, is_out_of_memory, is_panic
from pet.models.loading_errors import model_problem
from pet.models.model_folders import TOKENIZER_FILE, folder_problem
from pet.storage.units import file_digest
from pet.tasks.encoding import SENTINEL, Reading, mask_token

ALIGNMENT = 64  # bytes: the longest vectors of a processor, and where torch puts a new tensor

HUB_SECONDS = 5  # in which the hub has to answer

HUB_ID = re.compile(r"[A-Za-z0-9][\w-]*|[A-Za-z0-9][\w.-]*/[\w.-]+")


def choose_device(name: str) -> torch.device:
    """Resolve `auto` to the best device here.

    Raises:
        InputError: the device named is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            Problem("setting device", "a device of this machine", name, "try device=auto")
        ) from error
    return device


def usual_precision(device: torch.device) -> Literal["bfloat16", "float32"]:
    """State what "auto" computes in on a device."""
    return "bfloat16" if device.type == "cuda" else "float32"


def model_digest(ref: ModelRef) -> str:
    """Name a model by content: a folder by its files' sha256, a hub id by its commit."""
    refuse_unloadable(ref)
    if not os.path.isdir(ref.name):
        return f"{ref.name}@{load_config(ref)._commit_hash}"
    kinds = {".safetensors", ".json", ".txt", ".model"}
    digest = hashlib.sha256()
    for path in sorted(Path(ref.name).iterdir()):
        if path.suffix in kinds or TOKENIZER_FILE.fullmatch(path.name):
            digest.update(f"{path.name}:{file_digest(path)}\n".encode())
    return digest.hexdigest()


def load_config(ref: ModelRef) -> Any:
    """Load transformers' configuration of a model."""
    with model_problems(ref.name):
        return AutoConfig.from_pretrained(ref.name, revision=ref.revision, trust_remote_code=False)


def refuse_unloadable(ref: ModelRef) -> None:
    """Explain in one screen why a model cannot be had, before anything is read from it."""
    expected = "a model folder with config.json, tokenizer.json and *.safetensors, or a hub id"
    name = ref.name
    if os.path.isdir(name) and ref.revision is not None:
        fix = f"give {name} alone, or a hub id before the @"
        raise InputError(Problem(ref.written, expected, "a folder, which has no revision", fix))
    if os.path.isdir(name):
        found, fix = folder_problem(Path(name))
        if found:
            raise InputError(Problem(name, expected, found, fix))
        return
    if not HUB_ID.fullmatch(name) or os.path.exists(name):
        found = "a file" if os.path.exists(name) else "no such folder"
        raise InputError(Problem(ref.written, expected, found, "check the path"))
    if not isinstance(try_to_load_from_cache(name, "config.json", revision=ref.revision), str):
        _refuse_unreachable(name)
    with model_problems(name):
        cached_file(name, "config.json", revision=ref.revision)


def _refuse_unreachable(name: str) -> None:
    """Explain at once that a name of the hub cannot be had: its own retries take half a minute."""
    fetched = Path(os.environ.get("PET_CACHE", ".cache"), "models", name)
    if fetched.is_dir():
        fix = f"name the folder that was fetched: {fetched}"
        raise InputError(Problem(name, "a folder, or a hub id", "no such folder", fix))
    if hub_constants.HF_HUB_OFFLINE:
        return
    try:
        get_session().head(hub_constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:
        raise InputError(
            Problem(
                name,
                "a hub that can be reached, for a model that is no local folder",
                f"{hub_constants.ENDPOINT}: {first_line(error)[:200]}",
                "check the name and the network; offline, give the path of a local folder",
            )
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let transformers and its hub print neither bars nor advice; then all is as it was."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hub_verbosity = hub_logging.get_verbosity()
    if not bars and verbosity == hub_verbosity == hf_logging.ERROR:
        yield  # within another: every change empties the caches of all loggers
        return
    hf_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            hf_logging.enable_progress_bar()


@contextlib.contextmanager
def model_problems(ref: str, part: str = "") -> Iterator[None]:
    """Turn what transformers raises on a bad model, or a part of it, into one screen."""
    try:
        with quiet():
            yield
    except PetError:
        raise
    except BaseException as error:
        if is_out_of_memory(error) or not (isinstance(error, Exception) or is_panic(error)):
            raise
        # A hostile or damaged folder can make transformers raise anything at all.
        raise InputError(model_problem(ref, part, error)) from error


# With these in its configuration, plain transformers tokenises as `encoding.tokenize` does:
# "[MASK]" in a text is but a word, and texts are cut and padded on the right.
AS_TOKENIZED = {"split_special_tokens": True, "truncation_side": "right", "padding_side": "right"}


def load_tokenizer(ref: ModelRef, **saved: Any) -> Any:
    """Load a fast tokenizer; a causal model's padding token is made up where it has none.

    Args:
        saved: settings that stand in its configuration when it is saved, such as `AS_TOKENIZED`.
    """
    with model_problems(ref.name, "its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            ref.name, revision=ref.revision, trust_remote_code=False, **saved
        )
        tokenizer("a text")  # settings of a wrong kind show when they are used
        if not tokenizer.is_fast:
            raise InputError(
                Problem(
                    ref.name,
                    "a fast tokenizer (tokenizer.json)",
                    type(tokenizer).__name__,
                    "save the tokenizer anew with a current transformers",
                )
            )
    # What a saved tokenizer pads and cuts to by itself would land in the middle of patterns.
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise InputError(
            Problem(
                ref.name,
                "a tokenizer with a padding, end or unknown token",
                "none of them",
                "copy the model's tokenizer_config.json too, or take another model",
            )
        )
    return tokenizer


def check_vocabulary(tokenizer: Any, config: Any, ref: str) -> None:
    """Refuse a tokenizer that is not the model's: its ids would point behind the embeddings.

    Tokens that were added and that no text of ours has in it may lie there.

    Raises:
        InputError: it has more words than the model.
    """
    words = int(config.get_text_config().vocab_size)
    own = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    special = (
        tokenizer.unk_token_id,
        tokenizer.pad_token_id,
        tokenizer.mask_token_id,
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
    )
    needed = 1 + max([*own.values(), *(token or 0 for token in special)])
    if needed > words:
        raise InputError(
            Problem(
                ref,
                f"a tokenizer for the model's vocabulary of {words:,}",
                f"one that needs {needed:,}",
                "copy the tokenizer that belongs to the model",
            )
        )


def is_encoder_decoder(config: Any) -> bool:
    """Return whether a model gives words by its decoder alone (T5; not BART)."""
    known = type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    return known and config.is_encoder_decoder and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def kind_of(config: Any, ref: str) -> type:
    """Distinguish kinds of language models by what the weights were saved as.

    Some of encoder and decoder are masked language models, too, and taken as such (BART).
    """
    saved_as = set(config.architectures or [])
    masked, causal = set(MASKED_NAMES.values()), set(CAUSAL_NAMES.values())
    if saved_as & masked or (not saved_as & causal and type(config) in MODEL_FOR_MASKED_LM_MAPPING):
        return AutoModelForMaskedLM
    if is_encoder_decoder(config):
        return AutoModelForSeq2SeqLM
    if saved_as & causal or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    raise InputError(
        Problem(
            ref,
            "a masked or causal language model, or one of encoder and decoder",
            f"{config.model_type} ({', '.join(sorted(saved_as))})",
            "choose a model such as roberta-large or HuggingFaceTB/SmolLM2-135M",
        )
    )


def longest_input(ref: ModelRef) -> int:
    """Return how many tokens a model can take, special ones included."""
    config = load_config(ref).get_text_config()
    stated = getattr(config, "max_position_embeddings", None) or 10**9
    limits = [int(stated), int(load_tokenizer(ref).model_max_length), *_places(config, ref.name)]
    return min(limits)


# What transformers calls the embeddings of places in a text.
PLACES = re.compile(r"(.*\.)?(position_embeddings?|embed_positions|wpe)")


def _places(config: Any, ref: str) -> list[int]:
    """Return how many places each table of a model's position embeddings has."""
    if type(config) not in MODEL_MAPPING:
        return []
    try:
        with model_problems(ref), torch.device("meta"):
            module = AutoModel.from_config(config)
    except InputError:
        return []  # whoever loads it says why
    tables = [table for name, table in module.named_modules() if PLACES.fullmatch(name)]
    # Where the table has a row for padding (RoBERTa, MPNet, Longformer), places start behind it.
    return [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for table in tables
        if isinstance(table, torch.nn.Embedding)
    ]


def count_weights(ref: ModelRef) -> int:
    """Return how many weights a model has, from its configuration."""
    config = load_config(ref)
    with model_problems(ref.name), torch.device("meta"):
        kind: Any = kind_of(config, ref.name)
        module = kind.from_config(config)
    return sum(parameter.numel() for parameter in module.parameters())


def reading_of(ref: ModelRef, mask: Mask | None) -> Reading:
    """Return how a model is asked for words, from its configuration.

    Args:
        mask: the setting, which models of encoder and decoder need, and no others have.

    Raises:
        InputError: there is no such language model, or it does not go with the setting.
    """
    kind = kind_of(load_config(ref), ref.name)
    if kind is not AutoModelForSeq2SeqLM:
        if mask is not None:
            expected = "a model of encoder and decoder, such as T5"
            raise InputError(Problem("setting mask", expected, ref.name, "leave it out"))
        return "causal" if kind is AutoModelForCausalLM else "masked"
    if mask is None:
        raise InputError(
            Problem(
                "setting mask",
                f"where {ref.name}, a model of encoder and decoder, has a label's word",
                "nothing",
                "--set mask=sentinel for T5 or mT5, --set mask=end for T0 or Flan-T5",
            )
        )
    if mask_token(load_tokenizer(ref), "sentinel") is None and mask == "sentinel":
        fix = "--set mask=end, or copy the model's tokenizer.json again"
        raise InputError(Problem("setting mask", f"a tokenizer with {SENTINEL}", "none", fix))
    return mask


def from_safetensors(kind: Any, ref: ModelRef, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Load a model in float32, never from a pickle and never with remote code.

    Returns:
        the model, and what transformers says of its weights: which are missing or mismatched.
    """
    loaded: tuple[Any, dict[str, Any]] = kind.from_pretrained(
        ref.name,
        revision=ref.revision,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        output_loading_info=True,
        **more,
    )
    _align(loaded[0])
    return loaded


def _align(module: torch.nn.Module) -> None:
    """Copy weights that lie in their file's memory map at an odd place to where vectors begin.

    How long the file's header is decides that place, and on some processors matrix products round
    by it: without this a model saved by another library would train to other bytes.
    """
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        if tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


def load_whole(kind: Any, ref: ModelRef, may_miss: str = "-") -> Any:
    """Load a model with its head: where weights are missing, transformers would draw them.

    Args:
        may_miss: how the names of weights begin that are of no use here.
    """
    with torch.random.fork_rng(devices=[]), model_problems(ref.name, "its weights"):
        module, loaded = from_safetensors(kind, ref)
    missing = sorted(key for key in loaded["missing_keys"] if not key.startswith(may_miss))
    if missing:
        raise InputError(
            Problem(
                ref.name,
                f"all weights of a {type(module).__name__}",
                f"none for {', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}",
                "take a model that was saved with its head, not the bare encoder",
            )
        )
    return module


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw dropout and the like from `seed`, and give the caller's generators back untouched."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
