"""Tidy tables in, text out."""
