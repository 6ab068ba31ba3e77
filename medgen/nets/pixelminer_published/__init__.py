"""PixelMiner as published, with the layers that only it needs."""
