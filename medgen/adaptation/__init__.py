"""A model for one scan: it learns from the scan itself, and is used where that made it better."""
