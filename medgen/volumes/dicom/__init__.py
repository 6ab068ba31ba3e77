"""DICOM: a folder that holds a series of slices, or a multi-frame file; read and written.

From the ground: `frames` (one slice by its header), `stack` (slices on one grid), `find` (the
series of a folder), `decode` (pixels), `read` (a series as a `Volume`); `headers` and `derived`
(a slice of a finer series), `write` (such a series).
"""
