"""How the documentation is built: `make docs`. Strict: what leads nowhere fails, and no page fetches anything from elsewhere."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the folder `building`

project = "perdure"
author = project_copyright = "perdure contributors"
version = release = version_of("perdure")

extensions = ["myst_parser", "building.pages", "building.names", "building.links"]
exclude_patterns = ["building"]
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures, of the standard library and of type variables; names in texts are py:obj
suppress_warnings = ["myst.strikethrough"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

smartquotes = False  # it would turn --options into dashes

html_theme = "furo"
html_title = f"perdure {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_favicon = None
html_last_updated_fmt = None
pygments_style = "default"
pygments_dark_style = "monokai"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"
