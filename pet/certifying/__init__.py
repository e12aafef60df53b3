"""What drawn rows and people's answers prove of a run's labels, with no trust in the model.

`identity` names labels, model and pool by their content. `ledger` keeps every draw and its
answers, and what each may spend of alpha; `drawing` plans a draw and writes its rows for people;
`certificates` takes the answers and says what is certified, `marking` puts that where the labels
go; `shares` estimates how much of the pool has each label. The tests are those of
`pet.method.certification`.
"""
