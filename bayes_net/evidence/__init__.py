"""Published numbers in, with their rules and what a likelihood makes of them."""
