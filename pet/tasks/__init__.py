"""Tasks: labels, words and patterns, as text and as token ids.

A `task` is one TOML document (`task_file` reads it part by part, `task_draft` writes a first one,
with patterns of `languages`).
Its `patterns` are text with a mask; `compilation` puts them and the label words into a tokenizer's
ids, and `encoding` splices texts into them, long ones in `windows`. `rules` look for keywords and
regular expressions in texts, in bounded time. `vocabulary` measures how well a tokenizer reads
texts, `whole_words` lists the words that it writes as one token.
No model is loaded here.
"""
