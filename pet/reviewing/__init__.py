"""Rows worth a person's time, out and back into the labeled set."""
