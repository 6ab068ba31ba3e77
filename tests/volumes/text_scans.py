"""Small NRRD and MetaImage files, written by hand."""

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from medgen.volumes import Geometry

SHAPE = (4, 5, 6)
VOXELS = np.random.default_rng(5).integers(-1000, 3000, SHAPE).astype(np.int16)
NRRD = {
    "type": "int16",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 5 6",
    "space directions": "(2,0,0) (0,0,-3) (0,5,0)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 0 -1 0 1 0",
    "Offset": "10 20 30",
    "ElementSpacing": "2 3 5",
    "DimSize": "4 5 6",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
# Both headers place voxel (i, j, k) at left 10 + 2 i, posterior 20 + 5 k, superior 30 - 3 j.
AFFINE = np.array([[-2, 0, 0, -10], [0, 0, -5, -20], [0, -3, 0, 30], [0, 0, 0, 1.0]])


def oblique_geometry(flip=1.0):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (12, -7, 31), degrees=True).as_matrix()
    affine[:3, :3] = turn * [0.7 * flip, 0.9, 4.25]
    affine[:3, 3] = [-120.3, 88.8, 412.25]
    return Geometry(SHAPE, affine)


def save(path, fields, array=VOXELS, **changed):
    """Write header and voxels by hand; None takes a field out."""
    if path.suffix in (".nrrd", ".nhdr"):
        fields = {**fields, **{name.replace("_", " "): value for name, value in changed.items()}}
        lines = ["NRRD0004", *(f"{n}: {v}" for n, v in fields.items() if v is not None)]
        head = "\n".join(lines) + "\n\n"
    else:
        fields = {**fields, **changed}
        fields["ElementDataFile"] = fields.pop("ElementDataFile")  # ends the header
        head = "\n".join(f"{n} = {v}" for n, v in fields.items() if v is not None) + "\n"
    data = array if isinstance(array, bytes) else array.tobytes(order="F")
    path.write_bytes(head.encode() + data)
    return path


def require_as_itk_reads(scan, path):
    """Voxels, their type and the place of every corner are those SimpleITK reads."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(scan.array, array.T)
    assert scan.array.dtype == array.dtype
    for corner in np.ndindex(2, 2, 2):
        index = [side * (n - 1) for side, n in zip(corner, scan.shape, strict=True)]
        lps = (scan.geometry.affine @ [*index, 1])[:3] * [-1, -1, 1]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), lps, atol=1e-9)
