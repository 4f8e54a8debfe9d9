"""Shared plotting code: palette, axes with a layout in points, keys, sheets, and reproducible SVG, PNG and PDF output;
and the figures of dissections. Depends only on records; imports no torch."""
