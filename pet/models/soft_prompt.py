"""Soft prompts (Lester et al. 2021, arXiv 2104.08691): learned vectors in the place of words.

Stand-in tokens keep the places (see `Encoder.prompt_end`), and what the embedding layer says of
them is replaced. So positions, attention mask, token types and the columns of masks are the
model's own, whatever the architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter, functional

from pet.config import Start, Tuning
from pet.models.adapter import Adapter, read_settings, read_weights
from pet.models.layers import text_embeddings
from pet.models.loading import seeded

# For every width: embeddings are about as large in small models as in large ones. Chosen on
# validation rows (tests/bench/results/tuning-rates.md).
PROMPT_RATE = 3e-2

PROJECTOR_WIDTH = 768  # of a projector's hidden layer: that of BERT-base

PROJECTOR_RATE = 1e-3  # its peak learning rate: 1e-2 is worse (tests/bench/results/transfer.md)

NEAREST = 3  # vocabulary words shown per learned vector

COMMON = 5000  # the commonest tokens, of which some are drawn (Lester et al., section 3.2)

First = list[list[int]] | int  # the tokens of each vector; or how many vectors are drawn


class Projector(Module):
    """A two-layer MLP from another model's prompt vectors to this one's (Su et al. 2022)."""

    def __init__(self, source: int, hidden: int, target: int):
        super().__init__()
        self.hidden, self.out = Linear(source, hidden), Linear(hidden, target)

    def forward(self, vectors: Tensor) -> Tensor:
        """Project vectors [..., source] to [..., target]."""
        return self.out(functional.leaky_relu(self.hidden(vectors)))


class SoftPrompt(Adapter):
    """Vectors in front of a text, behind the tokens that every text begins with.

    Attributes:
        vectors: [prompts, length, width]; the rows of a batch are parted evenly among several
            prompts, in order.
        end: the column behind the prompt.
        projector: what another model's vectors go through, and what is trained of them; if any.
    """

    tuning: Tuning = "soft-prompt"
    adds_places = True

    def __init__(self, module: Any, vectors: Tensor, end: int, projector: Projector | None = None):
        self._layer = text_embeddings(module)
        device = module.get_input_embeddings().weight.device
        self.vectors = Parameter(vectors.to(device), requires_grad=projector is None)
        self.projector = None if projector is None else projector.to(device)
        self.fewest_rows, self.prompt_length = vectors.shape[:2]  # a row for each prompt
        self.end = end
        self._hook: Any = None

    @classmethod
    def fresh(cls, module: Any, first: First, end: int, seed: int) -> SoftPrompt:
        """Start each vector from the mean embedding of some tokens, or all from random numbers.

        These are uniform, as in Lester et al. (2021, section 3.2), and of the spread of this
        model's embeddings, where theirs, for T5, are between -0.5 and 0.5.
        """
        table = module.get_input_embeddings().weight.detach().float()
        if isinstance(first, int):
            with seeded(seed):
                drawn = 3**0.5 * table.std() * (2 * torch.rand(first, table.shape[1]) - 1).to(table)
            return cls(module, drawn[None], end)
        means = [table[list(tokens)].mean(0) for tokens in first]
        return cls(module, torch.stack(means)[None], end)

    @classmethod
    def load(cls, module: Any, folder: Path) -> SoftPrompt:
        """Read a kept prompt for a module."""
        vectors = read_weights(folder)["prompt"]
        width = module.get_input_embeddings().weight.shape[1]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise ValueError(f"vectors {list(vectors.shape)} for a width of {width}")
        return cls(module, vectors[None], int(read_settings(folder)["end"]))

    @classmethod
    def projected(
        cls, module: Any, folder: Path, before: int, hidden: int, seed: int
    ) -> SoftPrompt:
        """Put a new projector, drawn from `seed`, behind the kept prompt of another model.

        Args:
            before: tokens that every text begins with.
            hidden: width of the projector's hidden layer.
        """
        vectors = read_weights(folder)["prompt"]
        with seeded(seed):
            width = module.get_input_embeddings().weight.shape[1]
            projector = Projector(vectors.shape[1], hidden, width)
        return cls(module, vectors[None], before + len(vectors), projector)

    def fold_projector(self) -> None:
        """Take what the projector makes of the vectors in their place; it has done its work."""
        if self.projector is not None:
            self.vectors = Parameter(self._now().detach())
            self.projector = None

    def enter(self) -> None:
        self._hook = self._layer.register_forward_hook(self._replace)

    def leave(self) -> None:
        self._hook.remove()

    def _replace(self, _layer: Any, _inputs: Any, embedded: Tensor) -> Tensor:
        """Put the vectors in their columns. [rows, tokens, width]"""
        rows = len(embedded) // len(self.vectors)
        vectors = self._now().repeat_interleave(rows, 0).to(embedded)
        start = self.end - self.prompt_length
        return torch.cat([embedded[:, :start], vectors, embedded[:, self.end :]], dim=1)

    def _now(self) -> Tensor:
        """The vectors of this model's width. [prompts, length, width]"""
        return self.vectors if self.projector is None else self.projector(self.vectors)

    def parameters(self) -> dict[str, Parameter]:
        if self.projector is not None:
            return dict(self.projector.named_parameters())
        return {"prompt": self.vectors}

    def weights(self) -> dict[str, Tensor]:
        return {"prompt": self._now()[0]}

    def settings(self) -> dict[str, Any]:
        return {"length": self.prompt_length, "end": self.end}

    def learning_rate(self, width: int) -> float:
        return PROMPT_RATE


def stacked(module: Any, prompts: Sequence[SoftPrompt]) -> SoftPrompt:
    """Join prompts of one length into one adapter, for batches that hold every prompt's rows."""
    vectors = torch.cat([prompt.vectors.detach() for prompt in prompts])
    return SoftPrompt(module, vectors, prompts[0].end)


def first_tokens(
    start: Start,
    length: int,
    words: Sequence[Sequence[int]],
    pattern: Sequence[int],
    vocabulary: Sequence[int],
    seed: int,
) -> First:
    """Choose the tokens that each vector starts from: of one label each, or one token.

    What label words and pattern leave over is drawn from the vocabulary (Lester et al., 3.2).
    Labels beyond `length` have no vector.

    Args:
        words: all tokens of every label's words.
        pattern: the tokens of a pattern's own words.
        vocabulary: the tokens to draw from.
    """
    if start == "random":
        return length
    given = {
        "label-words": [list(tokens) for tokens in words],
        "pattern-words": [[token] for token in pattern],
        "vocabulary": list[list[int]](),
    }[start][:length]
    with seeded(seed):
        drawn = torch.randint(len(vocabulary), (length - len(given),)).tolist()
    return [*given, *([vocabulary[place]] for place in drawn)]


def common_tokens(tokenizer: Any, vocabulary: int) -> list[int]:
    """Return the ids of the commonest words of a vocabulary, which stand first in it.

    What is no word is left out: special and unused tokens, digits, signs, inner pieces of words.
    """
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(range(vocabulary))
    words = [place for place, token in enumerate(tokens) if token.lstrip("▁Ġ").isalpha()]
    return [place for place in words if place not in special][:COMMON]


def nearest_words(prompt: SoftPrompt, module: Any, tokenizer: Any) -> list[list[str]]:
    """Name the vocabulary's words nearest to each of a prompt's vectors, by cosine."""
    table = functional.normalize(module.get_input_embeddings().weight.detach().float(), dim=1)
    near = functional.normalize(prompt.vectors[0].detach().float(), dim=1) @ table.T
    best = near[:, : len(tokenizer)].topk(min(NEAREST, len(tokenizer))).indices.tolist()
    return [tokenizer.convert_ids_to_tokens(row) for row in best]
