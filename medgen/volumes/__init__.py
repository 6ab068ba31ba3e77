"""Scans with their geometry; numpy only, importing neither TensorFlow nor Keras.

`Volume.metadata` holds what a reader knew beyond voxels and grid. Keys, each absent where unknown:

- `format` (str): `NIfTI-1`, `NIfTI-2`, `Analyze`, `MGH`, `NRRD`, `MetaImage` or `DICOM`.
- `files` (tuple of Path): every file the volume was read from.
- `volume_index` (int): which volume of a 4-D file this is, from 0.
- `modality_tag` (str): Modality of the DICOM header, empty if that has none.
- `modality_guess` (`medgen.intensities.guess.Guess`): what the evidence says of the modality.
- `slice_thickness_mm` (float): SliceThickness, where all slices share it; not their spacing.
- `missing_slices` (tuple of int): along axis 2, where no slice was acquired and the nearest one
  stands in; only if `read_volume` was told to take gaps.
- `position_deviation_mm` (float): how far a DICOM slice lies off the regular grid at most.
- `padding_value` (float): physical value outside the scanned region; by the DICOM header, or found
  by its being lower than any HU. The voxels keep it; which of them are padding and not tissue of
  the same value tells `medgen.intensities.padding`.
- `nifti` (dict): header fields of a NIfTI file, by their names, that go out again when it is
  written (see `medgen.volumes.nifti_fields`), and `extensions`, a tuple of codes and bytes; of MGH
  the fields that can hold what it tells.
- `unwritten` (tuple of str): sentences on what the file holds and medgen does not write.
- `notes` (tuple of str): sentences for the user on what was odd and how it was taken.
"""

from medgen.volumes.description import describe
from medgen.volumes.files import find_scans, read_volume, write_volume
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

__all__ = ["Geometry", "Volume", "describe", "find_scans", "read_volume", "write_volume"]
