"""ADaM data sets in, cohorts out."""
