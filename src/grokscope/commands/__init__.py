"""The verbs of the command line as plain functions: call them from Python, print what they return.

Importing this package, or any module in it, imports no torch.
"""
