"""Callbacks for training frameworks, each in a module of its own, so that none of them is needed to import grokscope:
`grokscope.callbacks.transformers` (the Hugging Face Trainer) and `grokscope.callbacks.lightning`."""
