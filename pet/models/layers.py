"""Parts of a language model, found by the names that transformers gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch.nn import Linear, Module, ModuleList
from transformers.pytorch_utils import Conv1D

from pet.errors import InputError, Problem

ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)

# The last parts of the names of linear layers, of all architectures.
KEYS_AND_VALUES = re.compile(
    r"(.*\.)?(key|value|[kv]|[kv]_lin|(key|value|[kv])_proj|Wqkv|c_attn|qkv_proj|query_key_value)"
)
ATTENTION_OUTPUT = re.compile(r"(.*\.)?(dense|out_lin|Wo|o|o_proj|out_proj|c_proj)")
FEED_FORWARD_OUTPUT = re.compile(
    r".*\.(output\.dense|ffn_output|lin2|Wo|wo|c_proj|down_proj|dense_4h_to_h|fc2|fc_out|w2)"
)

LinearLayers = dict[str, Module]  # by name


def below_head(module: Any) -> Iterator[tuple[str, Module]]:
    """Yield the parts of a model's backbone by name, those that adapters have added left out."""
    prefix = module.base_model_prefix
    start = f"{prefix}." if hasattr(module, prefix) else ""
    head = module.get_output_embeddings() if hasattr(module, "get_output_embeddings") else None
    for name, part in module.named_modules():
        is_added = any(word in name for word in (".lora_", ".ia3_"))
        if name.startswith(start) and part is not head and ".pooler" not in name and not is_added:
            yield name.removesuffix(".base_layer"), part


def linear_layers(module: Any) -> LinearLayers:
    """Return the linear layers of a model's backbone."""
    kinds = Linear, Conv1D
    return {name: part for name, part in below_head(module) if isinstance(part, kinds)}


def keys_and_values(module: Any) -> LinearLayers:
    """Return the layers that compute attention's keys and values; fused ones give queries, too."""
    return _chosen(module, KEYS_AND_VALUES, in_attention=True)


def attention_outputs(module: Any) -> LinearLayers:
    """Return the last linear layer of every attention."""
    return _chosen(module, ATTENTION_OUTPUT, in_attention=True)


def feed_forward_outputs(module: Any) -> LinearLayers:
    """Return the last linear layer of every feed-forward part."""
    return _chosen(module, FEED_FORWARD_OUTPUT, in_attention=False)


def _chosen(module: Any, names: re.Pattern[str], *, in_attention: bool) -> LinearLayers:
    found = {
        name: layer
        for name, layer in linear_layers(module).items()
        if names.fullmatch(name) and bool(ATTENTION.search(name)) == in_attention
    }
    if not found:
        raise no_place(module, "linear layers with names that are known here")
    return found


def top_layers(module: Any, count: int) -> list[str]:
    """Name the last layers of a model; of an encoder and a decoder, those of the decoder.

    Raises:
        InputError: there are fewer, or one is computed again in the place of the next (ALBERT).
    """
    lists = {n: part for n, part in below_head(module) if isinstance(part, ModuleList)}
    outer = [n for n in lists if not any(n.startswith(f"{other}.") for other in lists)]
    layers = len(lists[outer[-1]]) if outer else 0
    config = module.config.get_text_config()
    names = "num_hidden_layers", "decoder_layers", "num_decoder_layers"
    if layers < count or layers not in [getattr(config, name, None) for name in names]:
        raise no_place(module, f"{count} layers or more, each with weights of its own")
    return [f"{outer[-1]}.{number}" for number in range(layers - count, layers)]


def text_embeddings(module: Any) -> Module:
    """Return the layer that embeds a text: the encoder's, where there is a decoder.

    Raises:
        InputError: the decoder's words go through the same layer.
    """
    if not module.config.is_encoder_decoder:
        own: Module = module.get_input_embeddings()
        return own
    of_text, of_words = (
        part.get_input_embeddings() for part in (module.get_encoder(), module.get_decoder())
    )
    if of_text is of_words:
        raise no_place(module, "a layer for the embeddings of the text alone")
    found: Module = of_text
    return found


def no_place(module: Any, expected: str) -> InputError:
    """Explain that a model has no place for what members are to train."""
    return InputError(
        Problem(
            "setting member.tuning",
            f"a model that has {expected}",
            f"none in {type(module).__name__}",
            "--set member.tuning=lora",
        )
    )
