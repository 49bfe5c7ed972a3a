"""Labelled draws in, labelled draws out."""
