"""Rows worth a person's time, out and back into the labeled set.

`review_rows` chooses them, by uncertainty or diversity, `annotation_files` writes and reads them
as CSV, JSON Lines, Label Studio or Argilla, `annotations` checks the answers, `reviewed` puts them
into a labeled set and names the run that learns from it. The run itself is not changed. What an
answer is, one label or all of a text's, is in `answer_form`.

For answers on a page of our own, `review_file` reads the rows back, `answer_log` keeps every answer
as it is given, `review_session` is the state of the review: what is next, undo, disagreements;
`agreement` measures how far two people agree.
"""
