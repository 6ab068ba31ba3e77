"""Is a trained model what it should be? Measured on the model itself, not believed of its code."""

from medgen.doctor.checks import examine
from medgen.doctor.findings import Finding

__all__ = ["Finding", "examine"]
