"""A finished run: opened, used to predict, compared, exported.

`finished_run` opens it, `predictors` are its student and its ensemble, `inference` labels, predicts
and evaluates by them. `comparison` and `past_runs` look at several. `exports`, `labeled_pool` and
`onnx_students` write for other programs, `transfer` and `adapter_similarity` compare adapters.
Nothing here changes a run.
"""
