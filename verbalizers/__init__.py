"""Shipped tasks: one TOML file each, named like its task. README.md describes the format."""
