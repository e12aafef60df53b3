"""Models of encoder and decoder, which are asked for words by their decoder (T5, T0, Flan-T5).

T5 (Raffel et al. 2020, arXiv 1910.10683) was trained to fill in what sentinel tokens stand for:
the encoder reads `<extra_id_0>` in the word's place, and the decoder, after the same token, gives
the word. T0 (Sanh et al. 2022, arXiv 2110.08207) and Flan-T5 answer to a text: the word is what the
decoder begins with. A configuration does not tell which, so it is the setting `mask`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from pet.models.batching import Rows
from pet.models.cloze_model import ClozeModel, Word, word_logs
from pet.models.fast_paths import head_for
from pet.models.model import Precision, Tensors, Texts
from pet.tasks.encoding import Batch, Encoder, mask_token

CORRUPTED = 0.15  # of the tokens (Raffel et al., section 3.1.4)


def sentinels(tokenizer: Any) -> list[int]:
    """Return the ids of T5's sentinel tokens, in order; none in a tokenizer without them."""
    known, found = tokenizer.get_vocab(), list[int]()
    while (token := known.get(f"<extra_id_{len(found)}>")) is not None:
        found.append(token)
    return found


def corrupt(
    tokens: NDArray[np.int64], chosen: NDArray[np.bool_], marks: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Put a sentinel in the place of each run of chosen tokens; return the text and what is asked.

    Args:
        tokens, chosen: of one text. [tokens]
        marks: sentinels; runs beyond all but the last of them stay as they are.
    """
    text, asked, runs = list[int](), list[int](), 0
    for place, token in enumerate(tokens.tolist()):
        begins = chosen[place] and not (place and chosen[place - 1])
        runs += int(begins)
        if not chosen[place] or runs >= len(marks):
            text.append(token)
            continue
        if begins:
            text.append(marks[runs - 1])
            asked.append(marks[runs - 1])
        asked.append(token)
    return text, [*asked, marks[min(runs, len(marks) - 1)]]


class EncoderDecoderModel(ClozeModel):
    """A model of encoder and decoder.

    Words of several tokens are scored by the chain rule; the token that ends an answer is not
    counted, so that words of one token, of which raw logits are taken, are scored alike.

    Attributes:
        decoder_start: what the decoder reads before a word. [tokens]
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        device: torch.device,
        reading: Literal["sentinel", "end"],
        *,
        precision: Precision = "auto",
    ):
        super().__init__(module, tokenizer, device, precision=precision)
        self.reading = reading
        # T5's configuration need not name it: there it is the padding token.
        start = getattr(module.config, "decoder_start_token_id", None)
        first = [module.config.pad_token_id if start is None else start]
        if reading == "sentinel":
            first.append(mask_token(tokenizer, reading))
        self.decoder_start = torch.tensor(first, device=device)

    def passes(self, encoder: Encoder) -> int:
        """One of the encoder, which is nearly all of the work."""
        return 1

    def language_model_loss(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the mean loss of giving back 15 % of the tokens, which sentinels stand for.

        The baseline objective of Raffel et al. (section 3.1.4), for either reading: tokens are
        chosen one by one, and a sentinel stands for each run of them.
        """
        marks, pad = sentinels(self.tokenizer), self.tokenizer.pad_token_id
        batch = encoder.batch(texts, rows)
        known = (batch.attention == 1) & (batch.ids != mask_token(self.tokenizer, "sentinel"))
        fixed = np.isin(batch.ids, self.tokenizer.all_special_ids)
        chosen = ~fixed & (torch.rand(*batch.ids.shape).numpy() < CORRUPTED)
        pairs = [
            corrupt(ids[own], of_row[own], marks)
            for ids, own, of_row in zip(batch.ids, known, chosen, strict=True)
        ]
        if not (chosen & known).any():  # chance has chosen none of a few tokens
            return self._no_loss()
        read = _padded([text for text, _ in pairs], pad)
        asked = _padded([own for _, own in pairs], -100).to(self.device)
        start = self.decoder_start[:1].expand(len(rows), 1)
        given = torch.cat([start, asked[:, :-1].masked_fill(asked[:, :-1] == -100, pad)], dim=1)
        seen = _padded([[1] * len(text) for text, _ in pairs], 0)
        logits = self.forward(
            {
                "input_ids": read.to(self.device),
                "attention_mask": seen.to(self.device),
                "decoder_input_ids": given,
            }
        ).logits
        return functional.cross_entropy(logits.float().transpose(1, 2), asked)

    def _word_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> dict[Word, Tensor]:
        """Compute log p(word) exactly, token after token; the encoder reads a text once."""
        inputs, _ = self._inputs(encoder.batch(texts, rows))
        words, place = encoder.words.distinct, len(self.decoder_start) - 1
        output = self.forward(inputs)
        first = word_logs(output.logits[:, place:].float(), [word[:1] for word in words])
        encoded = BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)
        read = {"encoder_outputs": encoded, "attention_mask": inputs["attention_mask"]}
        found = {}
        for word in words:
            found[word] = first[word[:1]][:, 0]
            if len(word) > 1:
                given = torch.cat([self.decoder_start, self.decoder_start.new_tensor(word[:-1])])
                given = given.expand(len(rows), -1)
                logits = self.forward({**read, "decoder_input_ids": given}).logits
                others = word_logs(logits[:, place + 1 :].float(), [word[1:]])
                found[word] = found[word] + others[word[1:]].sum(1)
        return found

    def _inputs(self, batch: Batch) -> tuple[Tensors, Tensor]:
        """Put a batch on the device; words are read at the last place of the decoder. [rows, 1]"""
        inputs, _ = super()._inputs(batch)
        inputs["decoder_input_ids"] = self.decoder_start.expand(len(batch.ids), -1)
        last = torch.full((len(batch.ids), 1), len(self.decoder_start) - 1, device=self.device)
        return inputs, last

    def _forward(
        self, inputs: Tensors, columns: Tensor, vocabulary: Sequence[int] | None
    ) -> Tensor:
        rows = torch.arange(len(columns), device=self.device)[:, None]
        with head_for(self.module, vocabulary):
            logits: Tensor = self.forward(inputs).logits
        return logits[rows, columns].float()


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Put rows into a matrix. [rows, longest]"""
    out = torch.full((len(rows), max(map(len, rows))), fill)
    for place, row in enumerate(rows):
        out[place, : len(row)] = torch.tensor(row, dtype=torch.long)
    return out
