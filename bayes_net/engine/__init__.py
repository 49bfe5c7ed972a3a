"""A model as one block of arrays for the compiled log density, and how that is sampled."""
