"""A look before any training: data, patterns, words, what a run would take; a first task file."""
