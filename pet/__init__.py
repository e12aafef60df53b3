"""Pattern-Exploiting Training: a few labeled texts and a raw pool in, a labeled pool out."""

__version__ = "0.2.0"
