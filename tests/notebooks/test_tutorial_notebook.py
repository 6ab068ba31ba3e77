from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "tutorial.ipynb"


@pytest.mark.slow
def test_trains_and_interpolates():
    """The notebook itself asserts that acquired slices and geometry are kept."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1800).execute()
    printed = "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    for words in ("mean SSIM", "bits_per_code_shuffled", "fine.nii.gz", "report"):
        assert words in printed
