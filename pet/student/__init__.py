"""What is learned from the ensemble, and the pool labeled with it.

`combination` makes soft labels of the members' scores, `soft_labels` reads them back and corrects
them out of fold; `distillation` trains the student and the supervised baseline, `linear_baselines`
fits two linear ones beside them, and `linear_student` fits them in their place where the student is
to be linear; `exits` lets rows leave the student early when it labels; `student_folder` is a
student by itself, which plain transformers or scikit-learn loads. `label_choice` says whether
student or ensemble labels the rows that both have scored, `scored_rows` reads back what they
predict of these; `label_files` and `pool_labeling` write the labels, shard by shard;
`answered_rows` puts people's answers among them. Nothing here knows how members are trained, or of
reports.
"""
