"""Members: who they are, who teaches them, how they are trained, scored and weighted.

`lineup` plans them once for a run: generations, teachers, and which labeled rows are held out by
whom; `fingerprints` names what each is made from; `members` has their names and folders,
`member_models` loads them. `adaptation` trains the model on the pool before they start from it.
`member_training` and `member_scoring` do the work, `logits` keeps the scores, `predictions` reads
them back: of the pool, and out of fold of the labeled rows. `weights` combines and calibrates them,
`stopping` rejects a generation that is worse than the one before, `divergence` reports a training
that diverged. Nothing here knows of the student, of labels or of reports.
"""
