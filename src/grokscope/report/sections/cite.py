"""How to cite the page, and the command that writes it."""

from grokscope.report.read.material import Material
from grokscope.report.read.summary import this_version
from grokscope.report.sections.blocks import Block, Code, Section, Words
from grokscope.vocabulary.text import plural

PLACE = 120.0


def section(material: Material) -> Section:
    runs = plural(len(material.lead), "run")
    blocks: list[Block] = [
        Words(f"grokscope {this_version()}. Report “{material.title}”, {runs}.", "small"),
        Words(["This page and its figures: ", Code(material.remake)], "small"),
    ]
    if reference := (material.study or {}).get("reference"):
        blocks.insert(1, Words(f"The claim is from {reference}; cite it too.", "small"))
    return Section("cite", "Cite", "Citation and reproduction", blocks)
