"""The generative nets; `keras` and `keras.ops` only. Samplers and training live elsewhere."""
