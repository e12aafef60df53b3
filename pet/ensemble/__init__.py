"""Members: who they are, who teaches them, how they are trained, scored and weighted.

`lineup` plans `members` once for a run: generations, teachers, and which labeled rows are held out
by whom; `fingerprints` names what each is made from. `member_training` (after `adaptation` and
`joint_training`, where they are asked for) and `member_scoring` do the work, `member_models` loads
them, `divergence` reports a loss that is no number, `chosen_words` chooses suggested label words
again without held-out rows. `logits` keeps the scores, `predictions` reads them back: of the pool,
and out of fold of the labeled rows. `rules` says where the task's rules fire, `weights` combines
and calibrates all of them, `rule_weighing` says how far rules are believed; `stopping` rejects a
generation that is worse than the one before. Nothing here knows of the student or of reports.
"""
