"""One analysis from its specification to its folder."""
