import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "microscopy.ipynb"


@pytest.mark.slow
def test_runs_and_shows_what_it_showed():
    shown = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(run, timeout=600).execute()

    def outputs(notebook, kind):
        return [o for cell in notebook.cells for o in cell.get("outputs", []) if kind(o)]

    def printed(notebook) -> tuple[str, list[float]]:
        """Words, and numbers, which differ in their last digit from processor to processor."""
        told = outputs(notebook, lambda o: o.output_type == "stream" and o.name == "stdout")
        text = "".join(o.text for o in told)
        number = r"\d+(?:\.\d+)?"
        return re.sub(number, "#", text), [float(n) for n in re.findall(number, text)]

    (words, numbers), (told_words, told_numbers) = printed(run), printed(shown)
    assert words == told_words
    assert len(numbers) == 4 + 3 * 5
    assert numbers == pytest.approx(told_numbers, rel=0.02)
    assert len(outputs(run, lambda o: o.output_type == "display_data")) == 3
