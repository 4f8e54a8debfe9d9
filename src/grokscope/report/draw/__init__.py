"""Drawing: palette, axes, SVG and figure files, with one module per kind of figure."""
