"""Results of a run: figures, findings in sentences, the page, the model card.

`measurement` measures, `report` gathers report.json, `report_file` reads it back. `findings` and
`model_findings` are one rule a function, `verdict` the first lines, `report_tables` and `plots` the
rest, `report_page` and `transfer_page` put them together, `model_card` describes the student.
`provenance` and `drift_reference` are for machines; `certificate_file` reads a certificate of
labels. Nothing here trains or labels: every figure is computed from the run folder.
"""
