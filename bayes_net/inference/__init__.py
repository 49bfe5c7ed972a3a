"""From a model to its posterior."""
