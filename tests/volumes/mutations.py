"""Damage small scans in seeded ways and read each; run as a script, so that a crash is seen.

    python mutations.py FORMAT COUNT FOLDER

prints `SEED` before each mutation is read and what came of it after. Whatever is neither a volume
nor a `MedgenError` ends the process: another exception, a signal, memory beyond `MEMORY`, a read
longer than `SECONDS`.
"""

import bz2
import gzip
import random
import resource
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from medgen.errors import MedgenError, WriteError
from medgen.volumes import Geometry, Volume, describe, read_volume, write_volume
from medgen.volumes.nifti_fields import in_finer_scan

FORMATS = [
    *("nii", "nii.gz", "nii2", "hdr", "hdr-mat", "mgh", "mgz"),
    *("nrrd", "nrrd-packed", "nrrd-bzip2", "nrrd-text", "nrrd-hex", "nrrd-list", "nhdr"),
    *("nhdr-packed", "mha", "mha-packed", "mhd", "mhd-packed"),
    *("dcm", "dcm-rle", "dcm-JPEG", "dcm-JPEG2000", "dcm-frames"),
]
SHAPE = (4, 5, 6)
VOXELS = np.random.default_rng(3).integers(-1000, 1500, SHAPE).astype(np.int16)
AFFINE = np.array([[-0.7, 0.1, 0, 3], [0.1, 0.9, 0.2, -4], [0, -0.2, 4.5, 5], [0, 0, 0, 1.0]])
MEMORY = 8 << 30  # bytes of address space; pydicom asks for up to 4 GiB before it looks
RESIDENT = 1 << 20  # KiB of memory in use at most
SECONDS = 20
HEADER = 1000  # bytes at the start of a file, of which most damage is done

# fmt: off
WORDS = [
    "0", "-1", "1", "2", "7", "11", "300", "65536", "2147483647", "-2147483648", "4294967296",
    "99999999999999999999", "nan", "inf", "-inf", "1e308", "1e-320", "0.0", "-0.0", "1e39", "9e99",
    "x", "1_0", "none", "???", "MET_FLOAT", "MET_CHAR_ARRAY", "MET_ULONG_LONG", "MET_STRING",
    "0x7f", "double", "int8", "block", "gzip", "True", "False", "LOCAL", "LIST",
    "../../../../etc/passwd", "/dev/zero", "%s%n%n", "%d", "", "()", "(1,0,0)", "(nan,0,0)", "\0",
    "A" * 5000, "A" * 1900, "1 " * 400, "4 4 4", "\xff\xfe", '"' + "A" * 700, "LIST 2",
    "%03d.raw 1 9 1", "scan.raw", "scan.img", "ascii", "hex", "bzip2", "list", "big", "little",
]
# fmt: on
NUMBERS = [
    *(0, 1, 2, 3, 4, 7, 8, 16, 64, 128, 255, 256, 512, 1024, 32767, 32768, 65535),
    *(1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1),
]
FLOATS = [0.0, -0.0, -1.0, 1e-40, 1e-320, 1e30, 3e38, 1e308, float("nan"), float("inf")]


def write_valid(kind, folder):
    """Write a sound scan of the format `kind`; its files, the one to read first."""
    volume = Volume(VOXELS, Geometry(SHAPE, AFFINE), intercept=-3.0)
    name, _, variant = kind.partition("-")
    path = folder / f"scan.{name}"
    if name in ("nii", "nii.gz"):
        write_volume(with_every_field(volume), path)
    elif name in ("mgh", "mgz"):
        nib.save(nib.MGHImage(VOXELS.astype(np.float32), AFFINE), path)
    elif name == "hdr":
        kind = nib.Spm2AnalyzeImage if variant else nib.Nifti1Pair
        nib.save(kind(VOXELS, AFFINE), path)
        return [path, path.with_suffix(".img"), *([path.with_suffix(".mat")] if variant else [])]
    elif name == "nii2":
        path = folder / "scan.nii"
        nib.save(nib.Nifti2Image(VOXELS, AFFINE), path)
    elif name == "dcm":
        return write_dicom(variant, folder)
    elif name == "nrrd" and variant not in ("", "packed"):
        path.write_bytes(nrrd_by_hand(variant))
    else:
        image = sitk.GetImageFromArray(VOXELS.T.copy())
        image.SetSpacing((0.7, 0.9, 4.5))
        sitk.WriteImage(image, str(path), bool(variant))
        return [path, *(file for file in sorted(folder.iterdir()) if file != path)]
    return [path]


def with_every_field(volume):
    """The same volume with slice timing and header extensions, as a NIfTI file has them."""
    fields = {
        "dim_info": 57, "slice_code": 1, "slice_end": 5, "slice_duration": 0.5, "toffset": 1.0,
        "descrip": b"a description", "pixdim": [1, 1, 1, 1, 2, 0, 0, 0],
        "extensions": ((6, b"a comment"), (4, b"<AFNI/>")),
    }  # fmt: skip
    return replace(volume, metadata={"nifti": fields})


def nrrd_by_hand(variant):
    """An NRRD file in an encoding, or with the axes in an order, that SimpleITK does not write."""
    data = VOXELS.tobytes(order="F")
    axes = {
        "dimension": "3", "sizes": "4 5 6", "kinds": "domain domain domain",
        "space directions": "(0.7,0,0) (0,0.9,0) (0,0,4.5)", "encoding": variant,
    }  # fmt: skip
    if variant == "list":
        data = VOXELS[None].tobytes(order="F")
        axes = {
            "dimension": "4", "sizes": "1 4 5 6", "kinds": "list domain domain domain",
            "space directions": "none (0.7,0,0) (0,0.9,0) (0,0,4.5)", "encoding": "raw",
            "labels": '"time" "" "" ""', "measurement frame": "(1,0,0) (0,1,0) (0,0,1)",
        }  # fmt: skip
    elif variant == "text":
        data = " ".join(map(str, VOXELS.ravel(order="F"))).encode()
    else:
        data = bz2.compress(data) if variant == "bzip2" else data.hex(" ").encode()
    fields = {
        "type": "short", **axes, "space": "LPS", "endian": "little", "space origin": "(1,2,3)",
    }  # fmt: skip
    lines = ["NRRD0005", *(f"{name}: {value}" for name, value in fields.items())]
    return "\n".join(lines).encode() + b"\n\n" + data


def write_dicom(variant, folder):
    """A CT as a series of three files, or as one of three frames."""
    files = []
    pixels = np.random.default_rng(1).integers(0, 4000, (3, 32, 40)).astype(np.int16)
    for k, voxels in enumerate([pixels] if variant == "frames" else pixels):
        header = dicom_header(k, voxels)
        if variant == "rle":
            header.compress(RLELossless, voxels)
        elif variant.startswith("JPEG"):
            packed = folder / "packed"
            sitk.WriteImage(
                sitk.GetImageFromArray(voxels[None]), f"{packed}.dcm", True, compressor=variant
            )
            encoded = pydicom.dcmread(f"{packed}.dcm")
            header.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
            header["PixelData"] = encoded["PixelData"]
            Path(f"{packed}.dcm").unlink()
        files.append(folder / f"{k}.dcm")
        header.save_as(files[-1], enforce_file_format=True)
    return files


def dicom_header(k, voxels):
    """Slice `k`, or all three slices where `voxels` has three axes."""
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    header.SOPInstanceUID, header.SeriesInstanceUID = f"1.2.3.{k}", "1.2.4"
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.Modality, header.SliceThickness = "CT", "4"
    header.Rows, header.Columns = voxels.shape[-2:]
    header.NumberOfFrames = len(voxels) if voxels.ndim == 3 else 1
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 1
    header.PixelSpacing, header.ImageOrientationPatient = [0.9, 0.7], [1, 0, 0, 0, 1, 0]
    header.ImagePositionPatient = [-10.5, 7.25, 4.0 * k]
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    if voxels.ndim == 3:
        header.PerFrameFunctionalGroupsSequence = [pydicom.Dataset() for _ in voxels]
        for z, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
            frame.PlanePositionSequence = [pydicom.Dataset()]
            frame.PlanePositionSequence[0].ImagePositionPatient = [-10.5, 7.25, 4.0 * z]
    header.PixelData = voxels.tobytes()
    return header


def damaged(content, rng):
    """`content` with one to four things wrong."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        near = rng.randrange(min(len(content), HEADER) if rng.random() < 0.8 else len(content))
        way = rng.randrange(6)
        if way == 0:
            content[near] = rng.randrange(256)
        elif way == 1:
            number = rng.choice(NUMBERS)
            sizes = [size for size in (1, 2, 4, 8) if number < 1 << 8 * size]
            put(content, near, number.to_bytes(rng.choice(sizes), rng.choice(("little", "big"))))
        elif way == 2:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = np.array(rng.choice(FLOATS)).astype(rng.choice(("<f4", ">f4", "<f8")))
            put(content, near - near % 4, value.tobytes())
        elif way == 3:
            del content[near : near + rng.choice((1, 4, 100, len(content)))]
        elif way == 4:
            piece = content[near : near + rng.choice((1, 20, 200))]
            content[near:near] = piece * rng.choice((1, 50))
        else:
            replace_word(content, rng)
        if not content:
            break
    return bytes(content)


def put(content, place, piece):
    """Overwrite without changing the length."""
    piece = piece[: len(content) - place]
    content[place : place + len(piece)] = piece


def replace_word(content, rng):
    """Put a hostile word for one of the header's, as text formats have them."""
    head = bytes(content[:HEADER])
    starts = [k + 1 for k, byte in enumerate(head[:-1]) if byte in b" =\n,(:\\" and k]
    if starts:
        start = rng.choice(starts)
        end = start + 1
        while end < len(content) and content[end] not in b" \n,)\\":
            end += 1
        content[start:end] = rng.choice(WORDS).encode("latin-1")


def outcome(files, folder, contents):
    """Write the damaged files, read them, describe what is read and write it again."""
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    path = folder if files[0].suffix == ".dcm" and len(files) > 1 else files[0]
    try:
        scan = read_volume(path)
        describe(scan)
        in_finer_scan(scan.metadata, 2)
        if not all(file.resolve().is_relative_to(folder) for file in scan.metadata["files"]):
            raise RuntimeError(f"read from outside its folder: {scan.metadata['files']}")
        write_volume(scan, folder / "again.nii", overwrite=True)
    except WriteError:
        return "read"
    except MedgenError as error:
        if isinstance(error.__cause__, MemoryError):
            raise RuntimeError("memory ran out") from error
        if "\n" in str(error) or not str(error):
            raise RuntimeError(f"not one sentence: {error!r}") from error
        return f"refused: {error}"
    return "read"


def peak_kib():
    """Most memory this process has had; `getrusage` would count the one it was started from."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main(kind, first, count, folder):
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error", RuntimeWarning)
    files = write_valid(kind, folder)
    sound = [file.read_bytes() for file in files]
    if outcome(files, folder, sound) != "read":
        raise RuntimeError(f"the undamaged {kind} is not read: {outcome(files, folder, sound)}")
    for seed in range(first, first + count):
        print(seed, end=" ", flush=True)
        rng = random.Random(seed)
        contents = list(sound)
        victim = rng.randrange(len(files))
        packed = files[victim].suffix in (".gz", ".mgz")
        if packed and rng.random() < 0.8:
            contents[victim] = gzip.compress(damaged(gzip.decompress(sound[victim]), rng))
        else:
            contents[victim] = damaged(sound[victim], rng)
        signal.alarm(SECONDS)
        print(outcome(files, folder, contents), flush=True)
        signal.alarm(0)
        if peak_kib() > RESIDENT:
            raise RuntimeError(f"{peak_kib()} KiB of memory were in use")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]).resolve())
