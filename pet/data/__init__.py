"""Texts in: which files, which rows, and why a row is set aside.

`data_files` finds them, `readers` streams one as raw rows (Parquet; CSV and JSON Lines in
`text_readers`, Feather in `arrow_reader`; `unpacking` reads gzip; a `limited_process` decodes
first what Arrow decodes), `columns` checks which columns they have, of which `arrow_types`. `pool`
cleans raw rows into batches with ids, `duplicate_ids` finds those given twice, `text_keys` says
when texts read the same; `labeled` is a small set in memory, with warnings about it; `arrays` takes
the same from lists, arrays and DataFrames. `label_values` reads labels as files write them,
`spreadsheets` what was written for a spreadsheet; `rejections` counts the reasons.
Nothing here knows of patterns, models or runs.
"""
