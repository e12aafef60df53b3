"""Language models at the mask, classifiers and sentence encoders: loaded, trained, scored.

`model` is what all of them can do, `cloze_model` and `sentence_encoder` are the teachers.
`loading` refuses what is not safetensors, `model_folders` what nothing should be built from, and
`loading_errors` says why a model cannot be loaded.
`adapter` with `lora`, `soft_prompt` and `prefix` are small weights beside a frozen `backbone`.
`linear_probe` fits a new head first, `training` is the one loop, `scoring` the other, `batching`
cuts rows for both; `fast_paths` computes layers and heads only where they are needed, `shared_text`
reads a text once for all patterns of a causal model.
Nothing here knows of members, pools or run folders.
"""
