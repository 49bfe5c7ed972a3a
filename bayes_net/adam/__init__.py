"""ADaM data sets in, cohorts out; and the other way round."""
