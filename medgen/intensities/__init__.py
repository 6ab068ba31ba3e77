"""What the numbers of a scan mean: its kind, its units, and the levels that nets see."""
