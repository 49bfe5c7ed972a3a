"""Tidy tables in, figures out."""
