"""Scans with their geometry; numpy only, importing neither TensorFlow nor Keras."""
