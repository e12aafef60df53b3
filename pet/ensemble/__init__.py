"""Members: who they are, who taught them, what they learned, how they score, how much they weigh.

`members` names them, generation by generation; `teachers` says from whom each learns, and which
labeled rows are held out. `member_training` and `member_scoring` do the work, `logits` keeps their
scores, `predictions` reads it back: of the pool, and out of fold of the labeled rows. `weights`
combines them, `stopping` says when a generation did harm."""
