"""Of a vocabulary's embeddings, those of the tokens that the training texts have are trained.

The others have no gradient. Still, zeroing it and AdamW's step over all of them took half the time
of a step of BERT-tiny on 50 texts, and multilingual vocabularies hold most of a model's weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Embedding, Module, Parameter

from pet.models.batching import Rows
from pet.models.model import Model, Texts
from pet.tasks.encoding import Encoder


@contextlib.contextmanager
def used_embeddings(model: Model, encoder: Encoder, texts: Texts, rows: Rows) -> Iterator[None]:
    """Put the embeddings of the tokens of these texts in the place of all, to train them inside.

    Trained weights are those of training all, up to rounding; but that weight decay would change
    the others a little. Nothing is done for a model of which more is needed: that predicts words
    among the whole vocabulary by the same weights, or has them in further places.

    Args:
        rows: the rows of `texts` to train on.
    """
    embedding = model.module.get_input_embeddings()
    holders = _holders(model, embedding)
    if not _can_be_narrowed(model, embedding, holders, encoder, texts, rows):
        yield
        return
    whole: Parameter = embedding.weight
    used = _used_tokens(model, embedding, encoder, texts, rows).to(whole.device)
    places = torch.full((len(whole),), len(used), device=whole.device)  # the others': out of range
    places[used] = torch.arange(len(used), device=whole.device)
    own: Any = Parameter(whole.detach()[used])
    own.places = places  # where a head finds its words' rows
    padding = embedding.padding_idx

    def put(weight: Parameter, padding: int | None) -> None:
        embedding.padding_idx = padding
        for module in holders:
            module._parameters["weight"] = weight

    hook = embedding.register_forward_pre_hook(lambda _, inputs: (places[inputs[0]], *inputs[1:]))
    put(own, None if padding is None else int(places[padding]))
    try:
        yield
    finally:
        hook.remove()
        put(whole, padding)
        with torch.no_grad():
            whole[used] = own


def _holders(model: Model, embedding: Any) -> list[Module]:
    """Return the modules that have the embeddings: the head, too, where they are tied."""
    weight = getattr(embedding, "weight", None)
    return [
        module
        for module in model.module.modules()
        if any(own is weight for own in module._parameters.values())
    ]


def _can_be_narrowed(
    model: Model, embedding: Any, holders: list[Module], encoder: Encoder, texts: Texts, rows: Rows
) -> bool:
    if not isinstance(embedding, Embedding) or not embedding.weight.requires_grad:
        return False
    head = getattr(model.module, "get_output_embeddings", lambda: None)()
    if any(module is not embedding and module is not head for module in holders):
        return False
    if head is not None and len(getattr(head, "weight", ())) != len(embedding.weight):
        return False  # DeBERTa's head is given the embeddings themselves
    return head not in holders or model.reads_label_words_alone(encoder, texts, rows)


def _used_tokens(
    model: Model, embedding: Embedding, encoder: Encoder, texts: Texts, rows: Rows
) -> Tensor:
    """List all tokens that rows of these texts, their pattern and its label words have."""
    filled = encoder.batch(texts, rows[:1]).ids.ravel()
    tokens = [own.ids for own in texts.values()]
    words = [token for word in encoder.words.distinct for token in word]
    padding = (model.tokenizer.pad_token_id, embedding.padding_idx)
    special = [token for token in padding if token is not None]
    found = np.unique(np.concatenate([*tokens, filled, words, special]))
    return torch.from_numpy(found.astype(np.int64))
