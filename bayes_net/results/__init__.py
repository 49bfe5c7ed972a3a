"""Tidy tables, and the folder they live in."""
