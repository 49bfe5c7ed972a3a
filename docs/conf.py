"""Sphinx: how the documentation is built (``docs/README.md`` has the command)."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from live.notebooks import copy_notebooks  # noqa: E402

project = "bayes-net"
author = "The bayes-net developers"
copyright = author
version = release = installed("bayes-net")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "live.generated", "live.mathml"]
exclude_patterns = ["_build", "README.md"]

# Pages are Markdown; notebooks are shown as stored and never run.
copy_notebooks(HERE.parent / "notebooks", HERE / "notebooks")
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_google_docstring = False

# A function in a reference role has to exist. Types of other packages are not looked up: no network.
nitpicky = True
nitpick_ignore_regex = [("py:(class|obj|data|exc)", ".*")]

html_theme = "furo"
html_title = f"bayes-net {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False}

# ArviZ 0.x tells of packages that it would use; nobody who builds pages needs to know.
logging.getLogger("arviz.preview").setLevel(logging.WARNING)
