"""Safe terminal output of untrusted text: run names, config values, file names and errors.

A name can hold control characters: escape sequences that move the cursor, color or rename the window, a line feed that
forges a line, marks that turn the direction of writing. They are shown as Python would write them (``\\x1b``).
"""

import re

LONGEST = 2000
"""Characters of a line of an error: nobody reads on."""
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200b-\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"  # marks of direction and width, line separators, half characters, tags
)


def visible(text: str) -> str:
    """The text with control characters escaped; line feeds and tabs are kept, as the program's own."""
    return _CONTROL.sub(_escaped, text)


def one_line(text: str) -> str:
    """The same for a name or a value, in which line feeds and tabs are escaped too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def message(text: str) -> str:
    """A line of an error or a warning: escaped, and cut where it is endless."""
    shown = one_line(text)
    if len(shown) <= LONGEST:
        return shown
    return f"{shown[:LONGEST]}... ({len(shown):,} characters)"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"
