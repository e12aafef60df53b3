"""What a run starts from: read, checked as a whole, named by content, before a byte is written.

`inputs` is the value that every later stage takes, `session` what lives in one process beside it,
`reading` makes both of a configuration. `presets` chooses one by the size of the teacher,
`job_count` how many jobs are done side by side. `run_tables` are the texts, `pool_sample` the pool
rows that members score, `model_checks` what must hold of models, `warm_start` adapters of another
run, `from_arrays` the same from Python, `folder_claim` whose the run folder is.
Nothing here trains.
"""
