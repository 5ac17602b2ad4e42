"""How the pages are made: `make docs`, into docs/_build."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# What the notebook starts is shown as in a terminal, not with colours or bars.
os.environ |= {"NO_COLOR": "1", "TQDM_DISABLE": "1"}

from reference import write_reference

from ser_store_h5 import __version__

write_reference(Path(__file__).parent)

project = "serstore"
author = project_copyright = "The serstore developers"
release = version = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "furo"
html_title = f"serstore {__version__}"
html_static_path = ["_static"]
html_css_files = ["serstore.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"source_repository": "", "top_of_page_buttons": []}

myst_enable_extensions = ["deflist", "attrs_inline"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

# In docstrings `k` is a parameter.
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
python_display_short_literal_types = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
# A type that stands in a signature need not have a page.
nitpicky = False
