"""Synthetic patients with the margins of NETTER-1."""
