"""Specifications: TOML in, values out."""
