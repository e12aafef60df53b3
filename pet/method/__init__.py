"""The formulas, in the order of the paper: numpy in, numpy out.

`ensembling` (section 3.3), `ipet` (3.4), then what is ours: `calibration`, `cross_fitting`,
`linear_head`; and what figures are made of: `metrics`, `drift`, `row_selection`, `data_quality`.
No files, no models, no settings: every function can be checked by hand."""
