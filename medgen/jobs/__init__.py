"""Scans on disk to finer scans on disk: one, a folder of them, on one machine or on many."""
