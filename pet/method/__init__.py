"""The formulas, in the order of the paper: numpy in, numpy out.

`ensembling` (section 3.3), `ipet` (3.4), then what is ours: `calibration`, `cross_fitting`,
`linear_head`, `word_classifier`, `label_words`, `rule_reliability`, `early_exit`; `outcomes` is one
label a text or any number, `several_labels` the formulas of the latter; and what figures are made
of: `metrics`, `label_metrics`, `label_trees`, `paired_tests`, `drift`, `row_selection`,
`data_quality`; what drawn rows and answers prove: `certification` tests, `draw_plans` says what to
draw, `share_intervals` and `betting` estimate and watch.
No models, no settings, no run folders: every function can be checked by hand.
"""
