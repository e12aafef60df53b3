"""What is learned from the ensemble, and the pool labeled with it.

`soft_labels` are the ensemble's, calibrated and then softened; `distillation` trains the student
(in folds first) and the supervised baseline; `student_folder` is a student by itself, which plain
transformers loads; `label_files` and `pool_labeling` write the labels, shard by shard. Nothing here
knows how members are trained, or of reports.
"""
