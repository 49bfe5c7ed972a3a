"""Equations as MathML, which browsers draw themselves: no script, no font, no network."""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml import exceptions
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)

_PROBLEMS = tuple(kind for kind in vars(exceptions).values() if isinstance(kind, type))
_BEFORE = {"{aligned}": "{align*}", "{split}": "{align*}"}
"""Environments that the converter does not know by these names."""
_FUNCTION = re.compile(r'(<mi>(?:log|exp|min|max)</mi>)(?!<mo stretchy="false">|<mo stretchy="true")')
_AFTER = {"<mi>&#x0007E;</mi>": "<mo>&#x0223C;</mo>"}
"""A relation, and not an identifier: it has space around it."""


def mathml(latex: str, *, display: str) -> str:
    """An equation as a ``math`` element; ``display`` is inline or block."""
    for name, other in _BEFORE.items():
        latex = latex.replace(name, other)
    text = convert(latex, display=display)
    for name, other in _AFTER.items():
        text = text.replace(name, other)
    return _FUNCTION.sub(r'\1<mspace width="0.167em" />', text)


def _written(node: nodes.Element, *, display: str) -> str:
    try:
        return mathml(node.astext(), display=display)
    except (*_PROBLEMS, ValueError, KeyError, IndexError) as problem:
        logger.warning("not an equation that can be MathML: %s (%r)", node.astext(), problem, location=node)
        return "<code>?</code>"


def _inline(translator, node: nodes.Element) -> None:
    translator.body.append(_written(node, display="inline"))
    raise nodes.SkipNode


def _block(translator, node: nodes.Element) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(_written(node, display="block"))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app) -> dict:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
