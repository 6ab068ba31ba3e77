"""How good synthetic slices are: likeness, edges, texture, noise, agreement, and tests of each."""
