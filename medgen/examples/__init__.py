"""From volumes to the arrays that nets are trained on; numpy only."""
