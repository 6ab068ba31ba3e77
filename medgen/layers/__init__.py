"""Building blocks of the nets; `keras` and `keras.ops` only, so that every backend runs them."""
