"""A pool that grows: what is new is labeled every night, the model renewed when it is due.

`night` is the sequence. `arrivals` finds new files, `model_choice` and `renewal` decide on a new
model and train it, `file_reading` reads a file in a process with limits, `file_labeling` labels
it, `drift_watch` tests for drift, `error_watch` bets that labels are wrong, `weekly_shares` follows
each label's share. `ledger` and `label_store` keep what was done, `night_summary` reports it,
`nightly_config` has every setting. Schedules and servers are not known here: see flows/.
"""
