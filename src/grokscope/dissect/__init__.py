"""Where is the shortcut stored? The battery M1, M4, M5, M6 on one checkpoint, with its controls and its calibration.

`grokscope.dissect.battery.dissect` runs all of it; the other modules hold one idea each.
"""
