"""The documentation site: `make docs` builds it strictly into build/site, and needs no network.

The pages are Markdown that a code host shows too. A line `<!-- generated: NAME -->` in a page is replaced by what
docs/generated.py makes of the sources.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parent))

import generated

project = "lading"
author = "the authors of lading"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["static"]
html_theme = "furo"
html_title = "lading"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options: dict[str, object] = {"top_of_page_buttons": []}

myst_heading_anchors = 4
# Docstrings write code in single backquotes.
default_role = "code"
smartquotes = False
highlight_language = "text"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False

_GENERATED = re.compile(r"<!-- generated: (\w+) -->")
_UPWARDS = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)[^)]*\)")
_log = logging.getLogger(__name__)
_OTHER_HOST = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*\"")


def setup(app: Sphinx) -> None:
    app.connect("source-read", _fill_in)
    app.connect("build-finished", _check_hosts)


def _fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    """Replaces the markers of generated text, and links to files that are not part of the site by their text."""
    text = source[0]
    for marker in _GENERATED.finditer(text):
        text = text.replace(marker[0], generated.text(marker[1]))
    for link in _UPWARDS.finditer(text):
        file = (Path(app.srcdir, page).parent / link[2]).resolve()
        if not file.exists():
            _log.warning("%s: there is no %s", page, link[2])
        if not file.is_relative_to(app.srcdir):
            text = text.replace(link[0], link[1])
    source[0] = text


def _check_hosts(app: Sphinx, error: Exception | None) -> None:
    """Warns of scripts, styles and pictures from other hosts: who reads a page tells only its own host so."""
    for page in [] if error else sorted(Path(app.outdir).rglob("*.html")):
        for found in _OTHER_HOST.findall(page.read_text()):
            _log.warning("%s loads something from another host: %s", page.name, found)
