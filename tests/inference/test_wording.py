"""No sentence of the program calls anything significant: it gives n, effect, interval and p. Quotes of others may."""

import ast
import re
from pathlib import Path

import grokscope

SOURCE = Path(grokscope.__file__).parent
WORD = re.compile(r"\bsignificant(?! digit)", re.IGNORECASE)


def sentences(code):
    """Texts of a module that are no docstrings."""
    tree = ast.parse(code)
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def test_the_word_is_found_where_it_is_said():
    assert [t for t in sentences('"""Not significant."""\nx = f"{1} is significant"') if WORD.search(t)] == [
        " is significant"
    ]


def test_no_sentence_and_no_template_says_significant():
    said = [
        (path.name, text) for path in SOURCE.rglob("*.py") for text in sentences(path.read_text()) if WORD.search(text)
    ]
    templates = list(SOURCE.rglob("*.j2"))
    assert len(templates) > 3
    said += [(path.name, "template") for path in templates if WORD.search(path.read_text())]
    assert said == []
