"""Texture features by PyRadiomics of the cases that test_texture.py compares with.

PyRadiomics needs an environment of its own (Python 3.11); the table beside this file was made by

    pip install -U "numpy<2" setuptools wheel && pip install --no-build-isolation pyradiomics==3.0.1
    python tests/evaluation/pyradiomics_golden.py > tests/evaluation/pyradiomics_golden.csv
"""

import numpy as np

# The digital phantom of IBSI, chapter 5.1 of the reference manual (CC BY 4.0): slices of rows.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [1, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 9, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)
PHANTOM_MASK = np.ones(PHANTOM.shape, bool)
PHANTOM_MASK[1, 2, 0] = PHANTOM_MASK[2, 2, 2] = False
PHANTOM_MASK[2:, 0, 3:] = False


def textured_slice():
    """A 31 x 44 slice of integers around -700, and an L-shaped mask with a hole."""
    i, j = np.mgrid[:31, :44]
    image = -900 + 4 * i + 3 * j + (37 * i * i + 91 * j + 13 * i * j) % 257
    mask = (i > 3) & (j > 5) & ((i < 20) | (j < 25)) & ~((i > 8) & (i < 12) & (j > 10) & (j < 17))
    return image, mask


def textured_block():
    """A 7 x 12 x 15 block of fractional values, and an ellipsoid without its centre."""
    k, i, j = np.mgrid[:7, :12, :15]
    image = ((29 * k * k + 17 * i * j + 7 * i + 43 * j * j) % 101) / 4 - 10
    radius = ((k - 3) / 3.2) ** 2 + ((i - 5.5) / 5.8) ** 2 + ((j - 7) / 7.1) ** 2
    return image, (radius < 1) & (radius > 0.05)


def flat_slice():
    """A region of one level."""
    return np.full((6, 9), 40), np.ones((6, 9), bool)


CASES = {
    "phantom": (PHANTOM, PHANTOM_MASK, {"bin_width": 1.0}),
    "slice, width 25": (*textured_slice(), {"bin_width": 25.0}),
    "slice, 16 bins": (*textured_slice(), {"bin_count": 16}),
    "block, width 2.5": (*textured_block(), {"bin_width": 2.5}),
    "flat": (*flat_slice(), {"bin_width": 25.0}),
}


def pyradiomics_features(image, mask, bin_width=25.0, bin_count=None):
    """Features of all five texture classes as `class_Name`, by PyRadiomics itself."""
    import SimpleITK as sitk
    from radiomics import glcm, gldm, glrlm, glszm, ngtdm

    shape = (1,) * (3 - image.ndim) + image.shape
    settings = {"force2D": image.ndim == 2, "binWidth": bin_width}
    if bin_count is not None:
        settings["binCount"] = bin_count
    itk_image = sitk.GetImageFromArray(image.reshape(shape).astype(np.float64))
    itk_mask = sitk.GetImageFromArray(mask.reshape(shape).astype(np.uint8))
    classes = {
        "glcm": glcm.RadiomicsGLCM,
        "glrlm": glrlm.RadiomicsGLRLM,
        "glszm": glszm.RadiomicsGLSZM,
        "gldm": gldm.RadiomicsGLDM,
        "ngtdm": ngtdm.RadiomicsNGTDM,
    }
    features = {}
    for family, extractor in classes.items():
        extractor = extractor(itk_image, itk_mask, **settings)
        extractor.enableAllFeatures()
        features |= {f"{family}_{name}": float(v) for name, v in extractor.execute().items()}
    return features


if __name__ == "__main__":
    table = {
        case: pyradiomics_features(image, mask, **bins)
        for case, (image, mask, bins) in CASES.items()
    }
    print("feature;" + ";".join(table))
    for name in table["phantom"]:
        print(name + ";" + ";".join(f"{values[name]:.12g}" for values in table.values()))
