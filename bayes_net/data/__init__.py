"""Patients' tables in, risk sets and exposure out."""
