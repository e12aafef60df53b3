"""Parts of a model by name: as many as it has layers, in every architecture."""

from __future__ import annotations

import pytest

from pet.models.layers import (
    attention_outputs,
    feed_forward_outputs,
    keys_and_values,
    linear_layers,
    top_layers,
)
from tests.conftest import ModelFolder
from tests.support.cloze import load_cloze

# Attention outputs, feed-forward outputs, keys and values (fused ones count once).
COUNTS = {
    "bert": (2, 2, 4),
    "albert": (1, 1, 2),
    "modernbert": (2, 2, 2),
    "gpt2": (2, 2, 2),
    "llama": (2, 2, 4),
    "bart": (3, 2, 6),
}


@pytest.mark.parametrize("kind", COUNTS)
def test_every_layer_has_its_parts(model_folder: ModelFolder, kind: str) -> None:
    """A pattern of names that also fits another part would change that one, too."""
    module = load_cloze(model_folder(kind)).module
    of = attention_outputs(module), feed_forward_outputs(module), keys_and_values(module)
    assert tuple(map(len, of)) == COUNTS[kind]
    known = set(linear_layers(module))
    for found in of:
        assert set(found) < known
    assert not set(of[0]) & set(of[1])
    width = module.config.get_text_config().hidden_size
    for layer in (*of[0].values(), *of[1].values()):
        assert width in layer.weight.shape


def test_the_top_of_an_encoder_and_a_decoder_is_the_decoders(model_folder: ModelFolder) -> None:
    assert top_layers(load_cloze(model_folder("bart")).module, 1) == ["model.decoder.layers.0"]
    assert top_layers(load_cloze(model_folder("bert")).module, 1) == ["bert.encoder.layer.1"]
