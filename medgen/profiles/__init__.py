"""How thick the slices of a scan are, as the scan itself tells; numpy and scipy only."""
