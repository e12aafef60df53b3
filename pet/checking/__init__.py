"""Before a run: a look at data, words and patterns; labels without any training.

`check` puts together what `pet check` shows, `preview` the filled-in examples, what is truncated
and the zero-shot accuracy, `word_suggestions` label words that the labeled rows suggest. `rates`
times the models, `estimate` makes of it what a run would take by stage, `budget` chooses settings
with which it ends in a given time; `before_run` does both for a run that begins. `zero_shot` labels
a pool with the untrained model. No run folder is written here.
"""
