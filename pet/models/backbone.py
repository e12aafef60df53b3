"""The pretrained language model that members share: loaded once, named by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import Module

from pet.config import Mask, ModelRef, RunConfig
from pet.errors import InputError, Problem
from pet.models.adapter import Adapter, damaged, read_backbone
from pet.models.bottleneck import PLACEMENTS, BottleneckAdapter
from pet.models.cloze_model import ClozeModel
from pet.models.loading import choose_device, model_digest
from pet.models.model import Model, Precision
from pet.models.peft_adapter import PEFT_KINDS, PeftAdapter
from pet.models.prefix import Prefix
from pet.models.selected_weights import SELECTED, SelectedWeights
from pet.models.soft_prompt import SoftPrompt, common_tokens, first_tokens
from pet.models.teachers import load_teacher
from pet.tasks.encoding import Encoder


def start_adapter(model: ClozeModel, config: RunConfig, encoder: Encoder, seed: int) -> Adapter:
    """Put a new adapter for a member on a frozen model, as `member.tuning` says.

    Args:
        encoder: the member's pattern for this model, whose words a prompt may start from.

    Raises:
        InputError: the model has no place for it.
    """
    tuning, module, tokenizer = config.member.tuning, model.module, model.tokenizer
    if tuning in PEFT_KINDS:
        return PeftAdapter.fresh(module, tuning, config.lora, seed)
    if tuning in PLACEMENTS:
        return BottleneckAdapter.fresh(module, tuning, config.bottleneck.width, seed)
    if tuning in SELECTED:
        return SelectedWeights.fresh(module, tuning)
    if module.config.is_encoder_decoder and (tuning == "prefix" or model.reading == "masked"):
        refused = "prompts and prefixes" if model.reading == "masked" else "prefixes"
        raise InputError(
            Problem(
                "setting member.tuning",
                f"another tuning than {refused}, for such a model of encoder and decoder",
                tuning,
                "--set member.tuning=lora",
            )
        )
    vocabulary = common_tokens(tokenizer, model.vocabulary)
    wanted = config.prefix if tuning == "prefix" else config.soft_prompt
    first = first_tokens(
        wanted.init,
        wanted.length,
        [[token for word in of for token in word] for of in encoder.words.tokens],
        encoder.fixed_ids,
        vocabulary,
        seed,
    )
    if tuning == "prefix":  # of a running text, so that each token has a place of its own
        text = first if isinstance(first, int) else [t for own in first for t in own][: len(first)]
        return Prefix.fresh(module, text, vocabulary[:1], config.prefix.width, seed)
    end = len(encoder.special.before) + wanted.length
    return SoftPrompt.fresh(module, first, end, seed)


def load_adapter(module: Module, folder: Path) -> Adapter:
    """Put a kept adapter of any kind on a module.

    Raises:
        InputError: the folder holds none, or one that does not fit.
    """
    load = LOADERS.get(read_backbone(folder).get("tuning", ""))
    if load is None:
        raise damaged(folder, "none that is known here")
    try:
        return load(module, folder)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(folder, f"one that does not fit: {error}") from error


LOADERS: dict[str, Callable[[Module, Path], Adapter]] = {
    **dict.fromkeys(PEFT_KINDS, PeftAdapter.load),
    **dict.fromkeys(PLACEMENTS, BottleneckAdapter.load),
    **dict.fromkeys(SELECTED, SelectedWeights.load),
    "prefix": Prefix.load,
    "soft-prompt": SoftPrompt.load,
}


class Backbone:
    """A frozen language model and the adapters that it has been given.

    It is loaded when it is first asked for. Its members take turns: see `Model.with_adapter`.
    """

    def __init__(
        self,
        ref: ModelRef,
        device: torch.device,
        precision: Precision,
        *,
        mask: Mask | None = None,
        digest: str | None = None,
        name: str | None = None,
    ):
        self.ref = ref
        self._name = name or ref.name
        self._device, self._precision, self._mask = device, precision, mask
        self._digest = digest
        self._model: ClozeModel | None = None
        self._worn: dict[Path, ClozeModel] = {}

    @classmethod
    def of(cls, config: RunConfig, run: Path, digest: str | None = None) -> Backbone:
        """The model that a run's members start from: the teacher, or what the run made of it.

        Args:
            digest: the teacher's, where it is known.
        """
        device = choose_device(config.device)
        if config.base is not None:
            own = ModelRef(str(run / config.base))
            return cls(own, device, config.precision, mask=config.mask, name=config.base)
        ref = config.model_ref
        return cls(ref, device, config.precision, mask=config.mask, digest=digest)

    @property
    def digest(self) -> str:
        """Name the model by its content."""
        if self._digest is None:
            self._digest = model_digest(self.ref)
        return self._digest

    @property
    def reference(self) -> dict[str, str | None]:
        """What an adapter notes of the model that it sits on; a run's own by its place there."""
        return {"ref": self._name, "revision": self.ref.revision, "digest": self.digest}

    @property
    def model(self) -> ClozeModel:
        """The model as it was pretrained, with nothing of it to be trained, nor worn."""
        if self._model is None:
            self._model = self.load()
            self._model.module.requires_grad_(False)
        # Whoever asks reads the module itself: a new prefix starts from what it computes.
        self._model.active_adapter.set(None)
        return self._model

    def load(self) -> ClozeModel:
        """Load the model anew, for somebody who changes its weights."""
        return load_teacher(self.ref, self._device, self._mask, precision=self._precision)

    def with_adapter(self, folder: Path) -> ClozeModel:
        """Return the model with the adapter that a folder holds, loaded once.

        Raises:
            InputError: the adapter was made for a model of other content, or is damaged.
        """
        if folder not in self._worn:
            made_for = read_backbone(folder).get("digest")
            if made_for != self.digest:
                raise InputError(
                    Problem(
                        self.ref.name,
                        f"the model that {folder} was made for",
                        "another model of that name",
                        "put the old one back, or make the run anew with `pet run --update`",
                    )
                )
            self._worn[folder] = self.model.with_adapter(load_adapter(self.model.module, folder))
        return self._worn[folder]

    def holds(self, model: Model) -> bool:
        """Return whether a model is this one, with whatever adapter."""
        return self._model is not None and model.module is self._model.module

    def take_off(self, adapter: Adapter) -> None:
        """Free an adapter that has been kept in a folder."""
        self.model.active_adapter.set(None)
        adapter.discard()

    def drop(self) -> None:
        """Free the memory; what is asked for later is loaded again."""
        self._model, self._worn = None, {}
