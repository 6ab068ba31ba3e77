"""How the documentation is built: `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import medgen  # noqa: E402

project = "medgen"
copyright = "the medgen authors"
author = "The medgen authors"
release = version = medgen.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build", "notebooks/*.py"]
html_theme = "furo"
html_title = f"medgen {release}"
highlight_language = "text"

# Notebooks are shown as they were executed; tests execute them.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# The signatures of these are read, not what they import.
autodoc_mock_imports = ["tensorflow", "tensorflow_probability", "tf_keras", "keras", "jax"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_use_rtype = False
# A name in backticks is code, as in Markdown.
default_role = "code"
