"""Language models at the mask, classifiers and sentence encoders: loaded, trained, scored.

`model` is what all of them can do. Teachers are `cloze_model`s, loaded by `teachers`:
`masked_model`, `causal_model`, `encoder_decoder`; and `sentence_encoder`.
`loading` refuses what is not safetensors, `model_folders` what nothing should be built from, and
`loading_errors` says why a model cannot be loaded.
`adapter` is what a member keeps beside a frozen teacher, `adapter_kinds` makes any of them:
`peft_adapter` (LoRA, DoRA, IA3), `bottleneck`, `soft_prompt` and `prefix` add weights,
`selected_weights` trains some that the model has; `layers` finds where they belong.
`linear_probe` fits a new head first, `training` is the one loop, which leaves out what no text has
of the vocabulary by `used_embeddings`; `scoring` is the other, `batching` cuts rows for both;
`fast_paths` computes layers and heads only where they are needed, `shared_text` reads a text once
for all patterns of a causal model, `window_pooling` makes the scores of a text's windows its own,
`early_exit` lets rows leave a student. `word_search` asks which words are likely at the mask.
Nothing here knows of members, pools or run folders.
"""
