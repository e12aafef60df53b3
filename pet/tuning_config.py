"""What of a model is trained, and how: all of it, or a few weights beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Tuning = Literal["full", "lora", "prefix", "soft-prompt"]
# Where a prompt's or a prefix's first vectors come from.
Start = Literal["random", "vocabulary", "label-words", "pattern-words"]


class Frozen(BaseModel):
    """Settings: never changed, and nothing unknown among them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), coerce_numbers_to_str=True,
        allow_inf_nan=False, hide_input_in_errors=True,
    )  # fmt: skip


class LoraConfig(Frozen):
    """A low-rank change beside every linear layer (Hu et al. 2022, arXiv 2106.09685)."""

    rank: int = Field(8, ge=1, le=1024, description="of the change to a layer's weight")
    alpha: int = Field(16, ge=1, description="the change is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="of what goes into the change")
    targets: tuple[str, ...] = Field(
        (), description="names of layers, or ends of them; none: every linear layer below the head"
    )


class SoftPromptConfig(Frozen):
    """Learned vectors in front of a text, in the place of words (Lester et al. 2021)."""

    length: int = Field(10, ge=1, le=512, description="vectors; they count in max_length")
    init: Start = Field("label-words", description="what they start from")


class ProjectorConfig(Frozen):
    """What brings another model's soft prompts to a model of another width (Su et al. 2022)."""

    steps: int = Field(
        0, ge=0, description="of its training; 0: prompts of another model are refused"
    )
    width: int = Field(768, ge=1, description="of its hidden layer")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="its peak learning rate")


class PrefixConfig(Frozen):
    """Learned keys and values in every layer (Li and Liang 2021, arXiv 2101.00190)."""

    length: int = Field(10, ge=1, le=512, description="keys and values per layer")
    width: int = Field(
        64, ge=0, description="of the MLP that they come from while they are trained; 0: none"
    )
    init: Start = Field("label-words", description="whose activations they start from")
