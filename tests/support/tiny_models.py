"""Language models of a few thousand random weights, with tokenizers of every usual kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.processors import RobertaProcessing, TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BloomConfig,
    BloomForCausalLM,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LongformerConfig,
    LongformerForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    MPNetConfig,
    MPNetForMaskedLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from pet.config import Mask

WORDS = [
    "sport", "space", "business", "money", "game", "ball", "team", "goal", "match", "won",
    "rocket", "moon", "orbit", "star", "planet", "launch", "bank", "market", "stock", "price",
    "trade", "category", "topic", "news", "it", "was", "is", "about", "the", "a", "of", "in",
    "on", "to", "and", "said", "today", "big", "new", "good", "bad", "great", "this", "text",
]  # fmt: skip
MARKS = list(".,:;!?()[]-'\"")
ENDINGS = ["##man", "##s", "##et"]
POSITIONS = 160
SENTINELS = 8
SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    """[CLS] A [SEP] B [SEP] with token types, lower-casing: BERT's."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS, *MARKS, *ENDINGS])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def typeless_tokenizer() -> PreTrainedTokenizerFast:
    """The same without token types: DistilBERT's."""
    tokenizer = wordpiece_tokenizer()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _byte_level(special: list[str]) -> Tokenizer:
    """A byte-level BPE in which the words above are one token each after a space."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=700,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    # Some words also stand at the start of a line, where no space comes before them.
    lines = [" ".join(["x", *WORDS])] * 20 + ["it was", "the game"] * 20
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def roberta_tokenizer() -> PreTrainedTokenizerFast:
    """<s> A </s></s> B </s>, and a <mask> that takes the space before it: RoBERTa's."""
    tokenizer = _byte_level(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_input_names=["input_ids", "attention_mask"],
    )


def causal_tokenizer() -> PreTrainedTokenizerFast:
    """No token before or after a text, and none for padding: GPT-2's."""
    tokenizer = _byte_level(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        model_input_names=["input_ids", "attention_mask"],
    )


def unigram_pieces() -> list[tuple[str, float]]:
    """The words above with and without a ▁ for the space before them, and single letters."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = "▁abcdefghijklmnopqrstuvwxyz" + "".join(MARKS)
    pieces = [(token, 0.0) for token in special]
    pieces += [(f"▁{word}", -4.0) for word in WORDS] + [
        (word, -5.0) for word in WORDS if word != "a"
    ]
    return pieces + [(letter, -12.0) for letter in letters if letter != "▁"] + [("▁", -9.0)]


def unigram_model() -> Unigram:
    return Unigram(unigram_pieces(), unk_id=3, byte_fallback=False)


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Pieces with a ▁ for the space, one put before the first word too: XLM-RoBERTa's."""
    tokenizer = Tokenizer(unigram_model())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_input_names=["input_ids", "attention_mask"],
    )


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """<s> A, and a ▁ that a normalizer puts before every text: Llama 2's; cut on the left."""
    tokenizer = Tokenizer(unigram_model())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        truncation_side="left",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


def t5_tokenizer() -> T5Tokenizer:
    """A </s>, no mask token, and behind the words eight sentinels, the first one last: T5's."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [(piece, score) for piece, score in unigram_pieces() if piece[0] != "<"]
    marks = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(SENTINELS))]
    return T5Tokenizer(vocab=[*special, *pieces, *marks], extra_ids=SENTINELS)


def _usual(tokenizer: Any) -> dict[str, Any]:
    return {
        **SMALL,
        "vocab_size": len(tokenizer),
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
    }


def bert(tokenizer: Any) -> Any:
    return BertForMaskedLM(
        BertConfig(
            **_usual(tokenizer),
            hidden_dropout_prob=0.1,
        )
    )


def albert(tokenizer: Any) -> Any:
    """Every layer is the same module, computed again; embeddings are narrower than layers."""
    return AlbertForMaskedLM(
        AlbertConfig(
            **_usual(tokenizer),
            embedding_size=16,
        )
    )


def distilbert(tokenizer: Any) -> Any:
    return DistilBertForMaskedLM(
        DistilBertConfig(
            dim=32,
            n_layers=2,
            n_heads=2,
            hidden_dim=64,
            vocab_size=len(tokenizer),
            max_position_embeddings=POSITIONS,
        )
    )


def electra(tokenizer: Any) -> Any:
    """A generator, whose embeddings are narrower than its layers."""
    return ElectraForMaskedLM(
        ElectraConfig(
            **_usual(tokenizer),
            embedding_size=16,
        )
    )


def modernbert(tokenizer: Any) -> Any:
    """Rotary positions, and layers in turn that see everything or a window."""
    return ModernBertForMaskedLM(
        ModernBertConfig(
            **_usual(tokenizer),
            global_attn_every_n_layers=2,
            local_attention=8,
            pad_token_id=1,
            bos_token_id=0,
            cls_token_id=0,
            eos_token_id=2,
            sep_token_id=2,
        )
    )


def mpnet(tokenizer: Any) -> Any:
    """Relative positions beside absolute ones, which begin behind the padding id."""
    return MPNetForMaskedLM(
        MPNetConfig(
            **(_usual(tokenizer) | {"max_position_embeddings": POSITIONS + 2}),
        )
    )


def _like_roberta(tokenizer: Any) -> dict[str, Any]:
    return {
        **_usual(tokenizer),
        "type_vocab_size": 1,
        "max_position_embeddings": POSITIONS + 2,
        "pad_token_id": 1,
    }


def roberta(tokenizer: Any) -> Any:
    return RobertaForMaskedLM(RobertaConfig(**_like_roberta(tokenizer)))


def xlm_roberta(tokenizer: Any) -> Any:
    return XLMRobertaForMaskedLM(XLMRobertaConfig(**_like_roberta(tokenizer)))


def _like_llama(tokenizer: Any) -> dict[str, Any]:
    return {
        **_usual(tokenizer),
        "num_key_value_heads": 1,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def llama(tokenizer: Any) -> Any:
    return LlamaForCausalLM(LlamaConfig(**_like_llama(tokenizer)))


def qwen(tokenizer: Any) -> Any:
    return Qwen2ForCausalLM(Qwen2Config(**_like_llama(tokenizer)))


def granite(tokenizer: Any) -> Any:
    """A causal model that transformers has no classification head for."""
    return GraniteForCausalLM(GraniteConfig(**_like_llama(tokenizer)))


def gpt2(tokenizer: Any) -> Any:
    return GPT2LMHeadModel(
        GPT2Config(
            n_embd=32,
            n_layer=2,
            n_head=2,
            vocab_size=len(tokenizer),
            n_positions=POSITIONS,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def bloom(tokenizer: Any) -> Any:
    """Positions made of the attention mask, which takes one shape only."""
    return BloomForCausalLM(
        BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=len(tokenizer))
    )


def opt(tokenizer: Any) -> Any:
    return OPTForCausalLM(
        OPTConfig(
            **SMALL,
            vocab_size=len(tokenizer),
            ffn_dim=64,
            word_embed_proj_dim=32,
            max_position_embeddings=POSITIONS,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    )


def bart(tokenizer: Any) -> Any:
    """An encoder and a decoder, and a bias over the vocabulary behind the head."""
    return BartForConditionalGeneration(
        BartConfig(
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            vocab_size=len(tokenizer),
            max_position_embeddings=POSITIONS,
        )
    )


def _like_t5(tokenizer: Any) -> dict[str, Any]:
    return {
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 2,
        "vocab_size": len(tokenizer),
        "decoder_start_token_id": 0,
    }


def t5(tokenizer: Any) -> Any:
    """T5 1.0: relative positions, one matrix for all embeddings and the head."""
    return T5ForConditionalGeneration(T5Config(**_like_t5(tokenizer)))


def flan(tokenizer: Any) -> Any:
    """Flan-T5 and T0, as T5 1.1: gated feed-forward parts, and a head of its own."""
    own = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return T5ForConditionalGeneration(T5Config(**_like_t5(tokenizer), **own))


def deberta(tokenizer: Any) -> Any:
    """DeBERTa-v3 as it is saved anew: its head is tied to the embeddings by hand."""
    return DebertaV2ForMaskedLM(
        DebertaV2Config(
            **_usual(tokenizer),
            legacy=False,
            type_vocab_size=0,
        )
    )


def longformer(tokenizer: Any) -> Any:
    """Attends within windows; no exporter to ONNX can write that."""
    return LongformerForMaskedLM(
        LongformerConfig(**_like_roberta(tokenizer), attention_window=[16, 16])
    )


KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "bert": (wordpiece_tokenizer, bert),
    "albert": (wordpiece_tokenizer, albert),
    "distilbert": (typeless_tokenizer, distilbert),
    "electra": (wordpiece_tokenizer, electra),
    "modernbert": (roberta_tokenizer, modernbert),
    "mpnet": (roberta_tokenizer, mpnet),
    "roberta": (roberta_tokenizer, roberta),
    "xlm_roberta": (unigram_tokenizer, xlm_roberta),
    "llama": (causal_tokenizer, llama),
    "gpt2": (causal_tokenizer, gpt2),
    "bloom": (causal_tokenizer, bloom),
    "opt": (causal_tokenizer, opt),
    "qwen": (causal_tokenizer, qwen),
    "granite": (causal_tokenizer, granite),
    "bart": (roberta_tokenizer, bart),
    "t5": (t5_tokenizer, t5),
    "flan": (t5_tokenizer, flan),
    "deberta": (roberta_tokenizer, deberta),
    "longformer": (roberta_tokenizer, longformer),
    "llama2": (sentencepiece_tokenizer, llama),
}


# How those of encoder and decoder are asked for a word.
MASKS: dict[str, Mask] = {"t5": "sentinel", "flan": "end"}


def save_model(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a random model and its tokenizer; weights are large enough to tell words apart."""
    make_tokenizer, make_module = KINDS[kind]
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make_module(tokenizer)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
