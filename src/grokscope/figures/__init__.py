"""What every figure of grokscope is drawn with: palette, axes laid out in points, keys, sheets, and SVG, PNG and PDF
that are the same bytes each time; and the figures of dissections, which `dissect` writes beside its records and the
report shows. Knows records only; imports no torch."""
