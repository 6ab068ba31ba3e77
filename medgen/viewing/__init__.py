"""A page that shows a scan and what was made of it, side by side, in a browser on this machine."""
