"""Drawing values position by position: the slow reference and the fast way, equal code for code."""
