"""The kinds of published numbers: what each must keep, what predicts it, and its log density."""
