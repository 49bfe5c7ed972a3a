"""Log densities and gradients over arrays: compiled once for every model, kept on disk, and sampled."""
