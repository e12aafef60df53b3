"""Before a run: a look at data, words and patterns; labels without any training.

`check` puts together what `pet check` shows, `preview` the filled-in examples, what is truncated
and the zero-shot accuracy, `estimate` the minutes and the disk that a run would take. `zero_shot`
labels a pool with the untrained model. No run folder is read or written here.
"""
