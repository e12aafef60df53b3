"""Language models at the mask, classifiers and sentence encoders; trained and asked.

`model` is what all of them can do, `cloze_model` and `sentence_encoder` are the teachers.
`loading` refuses what is not safetensors. `adapter` with `lora`, `soft_prompt` and `prefix` are
small weights beside a frozen `backbone`. `training` is the one loop, `scoring` the other,
`batching` what both cut rows by; `fast_paths` leaves out what nobody looks at. The only package
that imports transformers (and peft, in `lora` alone)."""
