"""The preset that a run takes where none is named: by the kind and size of the teacher."""

from __future__ import annotations

import platform
from collections.abc import Callable

import torch

from pet.config import PRESETS, JointConfig, Preset, RunConfig, TrainingConfig
from pet.data.labeled import LabeledSet
from pet.errors import InputError
from pet.models.loading import choose_device, count_weights, reading_of
from pet.settings import changed_settings
from pet.tasks.task import Task

LARGE_CAUSAL, LARGE = 50_000_000, 100_000_000  # weights that a CPU trains in hours

# Labeled rows from which preset `cpu` trains its teacher jointly. With 50 rows, SmolLM2 beside
# MiniLM and 1,000 pool rows, it made the ensemble .834, .850 and .850 of films instead of .818,
# .826 and .818 (validation rows, sets 5 to 7), .924 of news instead of .898, and .936 of posts as
# before (set 5). With ten rows labels of films became worse.
JOINT_ROWS = 32


def choose_preset(config: RunConfig) -> tuple[Preset, str]:
    """Choose a preset, with the reason; the default one, without a reason, where it will do.

    A large causal model on a CPU is not trained member by member where there is a sentence encoder
    that learns from the labeled rows: nine such members took hours, and on topics and films the
    ensemble was no better. Any other large one learns for a few steps. So it is with `fast`, which
    saves later generations alone.
    """
    trained = config.member.steps != TrainingConfig().steps  # the user wants them so
    if config.preset not in ("default", "fast") or trained:
        return config.preset, ""
    try:
        if choose_device(config.device).type != "cpu":
            return config.preset, ""
        causal = reading_of(config.model_ref, config.mask) == "causal"
        weights = count_weights(config.model_ref)
    except InputError:  # reported with all else that is wrong
        return config.preset, ""
    on_cpu = f"the teacher has {weights / 1e6:,.0f} million weights and computes on a CPU, so that"
    if causal and weights >= LARGE_CAUSAL and config.encoder is not None:
        steps = PRESETS["cpu"]["joint"]["steps"]
        return "cpu", (
            f"preset cpu: {on_cpu} its members read 64 tokens of a text and share one model, which "
            f"{JOINT_ROWS} labeled rows or more train for {steps} steps; the encoder learns "
            "from all of them. --preset default trains every member, which takes hours"
        )
    if weights >= LARGE:
        preset: Preset = "cpu-causal" if causal else "cpu-masked"
        own = PRESETS[preset]
        better = (
            "--encoder REF learns from labeled rows in its place, in a fraction of the time; "
            if causal
            else ""
        )
        return preset, (
            f"preset {preset}: {on_cpu} its members learn for {own['member']['steps']} steps, "
            f"score {own['unlabeled_rows']:,} rows of the pool, read {own['max_length']} tokens of "
            f"a text, and are trained once. {better}--preset default trains them in full, which "
            "takes hours; --budget 2h does what fits into that time"
        )
    return config.preset, ""


def with_preset(
    make: Callable[[dict[str, str]], RunConfig],
    note: Callable[[str], None],
    *,
    budgeted: bool = False,
) -> RunConfig:
    """Make a configuration whose user named no preset, or `fast`.

    Args:
        make: makes it, with more values.
        note: gets the preset that was chosen, with the reason.
        budgeted: steps and rows are chosen for a budget.
    """
    config = make({})
    preset, why = choose_preset(config)
    if preset == config.preset or (budgeted and preset != "cpu"):
        return config
    note(why)
    precision = {"precision": "bfloat16"} if has_fast_bfloat16() else {}
    return make({"preset": preset, **precision})


def with_joint_steps(config: RunConfig, task: Task, labeled: LabeledSet) -> RunConfig:
    """Leave out a preset's joint training of the teacher where it does not pay.

    That is with few labeled rows; where label words know these rows, which folds are to hold out;
    and for several labels a text, where nobody has measured it.
    """
    if config.joint.steps != PRESETS[config.preset].get("joint", {}).get("steps"):
        return config  # there is none, or the user wants so many
    few = len(labeled) < JOINT_ROWS
    if few or task.several or len(task.rows_of_words(labeled.columns)):
        return config.model_copy(update={"joint": JointConfig()})
    return config


def slow_precision(config: RunConfig) -> str:
    """Warn of bfloat16 on a processor where it is the slower one; empty where it is not."""
    slow = config.precision == "bfloat16" and choose_device(config.device).type == "cpu"
    if not slow or has_fast_bfloat16():
        return ""
    return (
        "this processor multiplies no matrices in bfloat16: models may compute several times "
        "slower than with --set precision=float32"
    )


def idle_settings(config: RunConfig) -> str:
    """Warn of settings that a linear student makes no use of; empty where there are none."""
    if not config.linear_student:
        return ""
    groups = ("student.", "supervised.", "class_weight")
    idle = [name for name in changed_settings(config) if name.startswith(groups)]
    return f"a linear student makes no use of {', '.join(idle)}" if idle else ""


def has_fast_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 on this processor.

    On x86 that takes units for matrices (AMX): with AVX-512's instructions for bfloat16 alone a
    linear layer of SmolLM2's width reached 78 GFLOP/s, and 134 in float32.
    """
    if platform.machine().lower() in ("x86_64", "amd64", "i386", "i686"):
        return bool(torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
