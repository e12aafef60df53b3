"""Run texts through a model and get label scores out: rows of like length share a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.errors import PetError, Problem
from pet.models.batching import MEMORY_ERRORS, Rows, halved, split_by_tokens
from pet.models.causal_model import CausalModel
from pet.models.cloze_model import ClozeModel
from pet.models.fast_paths import LinearsInInt8
from pet.models.model import Model, Texts
from pet.models.shared_text import Branches, group_by_text
from pet.progress import Tick, no_tick
from pet.tasks.compilation import pattern_encoder
from pet.tasks.encoding import Encoder, TextSlot, TokenizedTexts, tokenize
from pet.tasks.task import Task

Columns = Mapping[str, Sequence[str]]  # field -> texts

Tokens = dict[TextSlot, TokenizedTexts]

# On a CPU, what one layer hands to the next should not outgrow the caches: with more tokens than
# these in a pass, models of every size are slower.
CPU_TOKENS = 2048

PADDING = 1 / 16  # of a batch's tokens at most: where few rows are of like length, less is computed


def score(
    model: Model,
    encoder: Encoder,
    texts: Texts,
    rows: Rows | None = None,
    *,
    tokens_per_batch: int,
    tick: Tick = no_tick,
) -> NDArray[np.float32]:
    """Return label scores for the rows of tokenised texts, in their order. [rows, labels]

    Batches hold as many rows of like length as `tokens_per_batch` allows, on a CPU `CPU_TOKENS` at
    most; when memory runs out it is halved. How rows are put together changes scores by rounding
    alone (1e-4 in float32). Results wait on the device until the last batch, so that a GPU is
    never held up.

    Raises:
        PetError: one row alone does not fit into memory, or a score is NaN.
    """
    if rows is None:
        rows = np.arange(len(next(iter(texts.values()))))
    if not len(rows):
        return np.zeros((0, model.output_width(encoder)), dtype=np.float32)
    lengths = encoder.lengths(texts, rows)
    found = _score(
        model,
        lambda own: model.outputs(encoder, texts, own)[None],
        rows,
        lengths,
        tokens_per_batch,
        tick,
    )
    return found[0]


def score_words(
    model: ClozeModel,
    encoder: Encoder,
    texts: Texts,
    words: Sequence[int],
    *,
    tokens_per_batch: int,
    tick: Tick = no_tick,
) -> NDArray[np.float32]:
    """Return log p of words of one token at the mask of tokenised texts. [rows, words]

    Args:
        words: their tokens.
    """
    rows = np.arange(len(next(iter(texts.values()))))
    if not len(rows):
        return np.zeros((0, len(words)), dtype=np.float32)
    lengths = encoder.lengths(texts, rows)

    def outputs(some: Rows) -> torch.Tensor:
        return model.token_logs(encoder, texts, some, words)[None]

    return _score(model, outputs, rows, lengths, tokens_per_batch, tick)[0]


def score_together(
    model: Model,
    encoders: Sequence[Encoder],
    texts: Texts,
    rows: Rows | None = None,
    *,
    tokens_per_batch: int,
    tick: Tick = no_tick,
) -> NDArray[np.float32]:
    """Score rows by several encoders of one model, as `score` does. [encoders, rows, labels]

    A causal model reads each text once for all patterns that begin with it.

    Args:
        tick: counts a row when all encoders have scored it.
    """
    if rows is None:
        rows = np.arange(len(next(iter(texts.values()))))
    shape = len(encoders), len(rows), model.output_width(encoders[0])
    scores = np.zeros(shape, dtype=np.float32)
    if not len(rows):
        return scores
    counted = share_ticks(tick, len(encoders))
    for places in group_by_text(encoders):
        own = [encoders[place] for place in places]
        if not isinstance(model, CausalModel) or not model.shares_text(own, texts, rows):
            for place in places:
                scores[place] = score(
                    model,
                    encoders[place],
                    texts,
                    rows,
                    tokens_per_batch=tokens_per_batch,
                    tick=counted,
                )
            continue

        def outputs(some: Rows, own: list[Encoder] = own) -> torch.Tensor:
            return model.outputs_together(own, texts, some)

        def tick_all(done: int, times: int = len(own)) -> None:
            counted(times * done)

        lengths = own[0].text_lengths(texts, rows) + len(Branches.of(own))
        scores[places] = _score(model, outputs, rows, lengths, tokens_per_batch, tick_all)
    return scores


def share_ticks(tick: Tick, count: int) -> Tick:
    """Return a tick that counts a row when it was counted `count` times."""
    asked = 0

    def count_once(rows: int) -> None:
        nonlocal asked
        before, asked = asked, asked + rows
        tick(asked // count - before // count)

    return count_once


def _score(
    model: Model,
    outputs: Callable[[Rows], torch.Tensor],
    rows: Rows,
    lengths: NDArray[np.int64],
    tokens_per_batch: int,
    tick: Tick,
) -> NDArray[np.float32]:
    """Score rows in batches of like length. [encoders, rows, labels]"""
    if model.device.type == "cpu":
        tokens_per_batch = min(tokens_per_batch, CPU_TOKENS)
    model.module.eval()

    def split(part: Rows) -> list[Rows]:
        padding = int(PADDING * tokens_per_batch)
        return split_by_tokens(part, lengths[part], tokens_per_batch, padding)[::-1]

    queue = split(np.arange(len(rows)))
    done: list[tuple[Rows, torch.Tensor]] = []
    with torch.inference_mode(), in_scoring_precision(model):
        while queue:
            batch = queue.pop()
            try:
                scores = outputs(rows[batch])
            except MEMORY_ERRORS as error:
                tokens_per_batch = halved(error, tokens_per_batch, int(lengths[batch].max()))
                rest = np.concatenate([batch, *queue])  # all are cut anew, or each would fail
                queue = split(rest)
                continue
            done.append((batch, scores))
            tick(len(batch))
    encoders, _, width = done[0][1].shape
    out = np.empty((encoders, len(rows), width), dtype=np.float32)
    for batch, scores in done:
        out[:, batch] = scores.cpu().numpy()
    refuse_not_finite(out)
    return out


def refuse_not_finite(scores: NDArray[np.float32]) -> None:
    """Refuse scores that are not finite: of NaN, which infinite ones become, the first is best.

    Args:
        scores: of one model or several. [(models,) rows, labels]

    Raises:
        PetError: some are NaN or infinite.
    """
    rows = scores.shape[-2]
    finite = np.isfinite(scores).all(axis=-1).reshape(-1, rows).all(axis=0)
    if wrong := int((~finite).sum()):
        kind = "NaN" if np.isnan(scores).any() else "infinite ones"
        raise PetError(
            Problem(
                "scoring",
                "scores that are finite numbers",
                f"{kind} for {wrong:,} of {rows:,} rows",
                "--set precision=float32, or another model: this one's weights are damaged",
            )
        )


def in_scoring_precision(model: Model) -> contextlib.AbstractContextManager[None]:
    """Let the model compute in int8 inside the block, if it is meant to and is on a CPU."""
    if model.precision == "int8" and model.device.type == "cpu":
        model.active_adapter.set(model.adapter)  # it may have weights of its own there
        return LinearsInInt8(model.module)
    return contextlib.nullcontext()


def cloze_encoder(
    config: RunConfig,
    task: Task,
    model: ClozeModel,
    pattern: str,
    offset: NDArray[np.float32] | None = None,
    *,
    by_probability: bool = False,
) -> Encoder:
    """Compile one of the task's patterns for a model, with places for the model's prompt.

    Args:
        offset: added to the scores. [labels]
        by_probability: see `Encoder`; of several labels a text it is always so.
    """
    prompt_length = 0 if model.adapter is None else model.adapter.prompt_length
    return pattern_encoder(
        model.tokenizer,
        task.pattern(pattern),
        task.verbalizer(pattern),
        model.reading,
        config.max_length,
        offset,
        prompt_length,
        long_texts=config.long_texts,
        by_probability=by_probability or task.several,
    )


def cloze_encoders(
    config: RunConfig, task: Task, model: ClozeModel, *, by_probability: bool = False
) -> list[Encoder]:
    """Compile all patterns of the task, in its order; see `cloze_encoder`."""
    return [
        cloze_encoder(config, task, model, pattern.name, by_probability=by_probability)
        for pattern in task.patterns
    ]


def tokenize_columns(
    encoder: Encoder, tokenizer: Any, columns: Columns, known: Tokens | None = None
) -> Tokens:
    """Tokenise every field that the encoder uses, as it stands in its pattern.

    Args:
        known: what encoders of this tokenizer and length have tokenised of these texts before; what
            is new is put there.
    """
    known = {} if known is None else known
    for slot in encoder.slots:
        if slot not in known:
            both_ends = encoder.long_texts != "head"
            own = columns[slot.name], encoder.longest_text, slot.space, both_ends
            known[slot] = tokenize(tokenizer, *own)
    return {slot: known[slot] for slot in encoder.slots}


def score_columns(
    model: Model,
    encoder: Encoder,
    columns: Columns,
    tokens_per_batch: int,
    tick: Tick = no_tick,
    known: Tokens | None = None,
) -> NDArray[np.float32]:
    """Tokenise and score texts, given by field; `known` as above. [rows, labels]"""
    texts = tokenize_columns(encoder, model.tokenizer, columns, known)
    return score(model, encoder, texts, tokens_per_batch=tokens_per_batch, tick=tick)


def score_columns_together(
    model: Model,
    encoders: Sequence[Encoder],
    columns: Columns,
    tokens_per_batch: int,
    tick: Tick = no_tick,
    known: Tokens | None = None,
    rows: Rows | None = None,
) -> NDArray[np.float32]:
    """Tokenise and score texts by several encoders of one model. [encoders, rows, labels]"""
    texts: Tokens = {} if known is None else known
    for encoder in encoders:
        tokenize_columns(encoder, model.tokenizer, columns, texts)
    return score_together(
        model, encoders, texts, rows, tokens_per_batch=tokens_per_batch, tick=tick
    )


def score_in_turn(
    models: Iterable[tuple[Any, Sequence[Encoder]]],
    count: int,
    columns: Columns,
    tokens_per_batch: int,
    tick: Tick = no_tick,
) -> NDArray[np.float32]:
    """Score the same texts by several models, tokenised once for all models of a class.

    Args:
        models: each with the encoders that it scores by; may load them one after another. Models
            of one class share a tokenizer.
        count: how many encoders there are. A row counts as done when all have scored it.

    Returns:
        [encoders, rows, labels]
    """
    counted = share_ticks(tick, count)
    of_class: dict[type, Tokens] = {}
    stack = []
    for model, encoders in models:
        known = of_class.setdefault(type(model), {})

        def count_all(rows: int, times: int = len(encoders)) -> None:
            counted(times * rows)

        stack.append(
            score_columns_together(model, encoders, columns, tokens_per_batch, count_all, known)
        )
        del model, encoders  # before the next is loaded: not every machine has room for two
    return np.concatenate(stack)
