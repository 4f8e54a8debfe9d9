"""Drawing: palette, axes, SVG and figure files, and one file for each kind of figure."""
