from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "serving.ipynb"


@pytest.mark.slow
def test_runs_and_prints_what_it_shows():
    shown = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(run, timeout=600).execute()

    def printed(notebook) -> str:
        outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
        return "".join(o.text for o in outputs if o.get("name") == "stdout")

    assert "same seed, same slice: True" in printed(run)
    assert printed(run) == printed(shown)
