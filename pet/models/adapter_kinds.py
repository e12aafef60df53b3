"""Every kind of adapter: a new one on a model, or one that was kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch.nn import Module

from pet.config import RunConfig
from pet.errors import InputError, Problem
from pet.models.adapter import Adapter, damaged, read_backbone
from pet.models.bottleneck import PLACEMENTS, BottleneckAdapter
from pet.models.cloze_model import ClozeModel
from pet.models.peft_adapter import PEFT_KINDS, PeftAdapter
from pet.models.prefix import Prefix
from pet.models.selected_weights import SELECTED, SelectedWeights
from pet.models.soft_prompt import SoftPrompt, common_tokens, first_tokens
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
