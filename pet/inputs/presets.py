"""The preset that a run takes where none is named: by the kind and size of the teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pet.config import Preset, RunConfig, TrainingConfig
from pet.errors import InputError
from pet.models.loading import choose_device, count_weights, is_causal

LARGE = 50_000_000  # weights of a teacher that a CPU trains in hours


def choose_preset(config: RunConfig) -> tuple[Preset, str]:
    """Choose a preset, with the reason; the default one, without a reason, where it will do.

    A large causal model on a CPU is used zero-shot where there is a sentence encoder that learns
    from the labeled rows: trained in full, nine such members took hours, and on topics and films
    the ensemble was no better (tests/bench/results/quality.md).
    """
    trained = config.member.steps != TrainingConfig().steps  # the user wants them so
    if config.encoder is None or config.preset != "default" or trained:
        return config.preset, ""
    try:
        if choose_device(config.device).type != "cpu" or not is_causal(config.model_ref):
            return config.preset, ""
        weights = count_weights(config.model_ref)
    except InputError:  # reported with all else that is wrong
        return config.preset, ""
    if weights < LARGE:
        return config.preset, ""
    return "cpu", (
        f"preset cpu: the teacher has {weights / 1e6:,.0f} million weights and computes on a CPU, "
        "so that its members are used zero-shot and read 64 tokens of a text; the encoder learns "
        "from labeled rows. --preset default trains the members, which takes hours"
    )


def with_preset(
    make: Callable[[dict[str, str]], RunConfig], note: Callable[[str], None]
) -> RunConfig:
    """Make a configuration whose user named no preset.

    Args:
        make: makes it, with more values.
        note: gets the preset that was chosen, with the reason.
    """
    config = make({})
    preset, why = choose_preset(config)
    if preset == config.preset:
        return config
    note(why)
    precision = {"precision": "bfloat16"} if has_bfloat16() else {}
    return make({"preset": preset, **precision})


def slow_precision(config: RunConfig) -> str:
    """Warn of bfloat16 on a processor without instructions for it; empty where there is none."""
    slow = config.precision == "bfloat16" and choose_device(config.device).type == "cpu"
    if not slow or has_bfloat16():
        return ""
    return (
        "this processor has no instructions for bfloat16: models compute several times slower than "
        "with --set precision=float32"
    )


def has_bfloat16() -> bool:
    """Return whether this processor has instructions for bfloat16; without, it is far slower."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
