"""Data that is too large for the page: files beside it, to which its links lead."""

from collections.abc import Sequence
from pathlib import Path

from grokscope.files import write_atomic
from grokscope.report.sections.blocks import Download, Section, every_block


def write_beside(sections: Sequence[Section], page: Path) -> list[Path]:
    """Write the files that downloads of these sections lie in; those inside the page need none."""
    files = []
    for section in sections:
        for block in every_block(section.blocks):
            if isinstance(block, Download) and block.content is not None:
                path = page.with_name(block.name)
                data = block.content().encode()
                write_atomic(path, lambda file, data=data: file.write(data))
                files.append(path)
    return files
