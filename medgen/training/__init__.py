"""Fitting: the loop, the scans of a run, its workers; families say what is fitted."""
