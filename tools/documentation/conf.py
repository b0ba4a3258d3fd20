"""Sphinx's configuration; the pages are staged by pages.py."""

from edgeser import __version__

project = "edgeser"
author = "the authors of edgeser"
version = release = __version__
copyright = f"the authors of edgeser. This page documents edgeser {__version__}"
language = "en"
smartquotes = False  # values of settings stand in quotes

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = [".doctrees"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 6
myst_url_schemes = {
    "http": None,
    "https": None,
    "mailto": None,
    "site": {"url": "{{path}}", "title": "{{path}}"},  # pages of the site that Sphinx did not make
}

autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = f"edgeser {__version__}"
html_copy_source = False
html_show_sphinx = False
# The search makes summaries by fetching pages, which a page opened from disk may not do.
html_show_search_summary = False

suppress_warnings = ["misc.highlighting_failure"]  # examples with … in them are no JSON
linkcheck_anchors = False
