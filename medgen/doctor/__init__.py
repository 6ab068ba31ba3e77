"""Is a trained model what it should be? Measured on the model itself, not believed of its code."""

from medgen.doctor.checks import Finding, examine

__all__ = ["Finding", "examine"]
