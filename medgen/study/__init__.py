"""Reader studies: people say which of two slices is closer to the truth, or which one is real."""
