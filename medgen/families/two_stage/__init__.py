"""VQ-VAE codes of a slice, drawn by a conditional gated PixelCNN."""
