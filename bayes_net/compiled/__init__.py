"""The log density with its gradient in machine code: compiled once for every model, and kept on disk."""
