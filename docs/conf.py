"""Sphinx settings; `make docs` treats every warning as an error."""

import importlib
import pkgutil
import sys
from pathlib import Path

import mmgraph

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

# While it documents a pydantic model, autodoc adds annotations to pydantic.BaseModel itself, and
# models defined after that fail; so every module is imported before.
for module in pkgutil.walk_packages(mmgraph.__path__, "mmgraph."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

project = "mmgraph"
author = "mmgraph authors"
project_copyright = "2026, mmgraph authors"
version = release = mmgraph.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "config_keys",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "mmgraph"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shapes", "Units", "Complexity", "Source"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
