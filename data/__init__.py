"""Recipes that fetch and check the demo texts and demo models, and small hand-written samples."""
