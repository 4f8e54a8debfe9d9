"""Lion and a measurement of signs, as plug-ins of grokscope; found through the entry points of this package."""
