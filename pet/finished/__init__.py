"""A finished run: opened, asked, compared, exported.

`finished_run` opens it, `predictors` ask its student or its ensemble, `inference` labels, predicts
and evaluates by them. `comparison` and `past_runs` look at several. `exports`, `labeled_pool` and
`onnx_students` write for other programs, `transfer` and `adapter_similarity` compare adapters."""
