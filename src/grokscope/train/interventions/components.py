"""The interventions that a regime can list. Importing them imports no torch.

Each is written as a table, ``{ name = "hold_norm", rho = 1.0, from = 400 }``, and is the identity, bit for bit, at the
value that its docstring names. ``from`` is the last step without it and ``until`` the last with it (`Intervention`).
Importing this module registers them all.
"""

from grokscope.train.interventions import of_loss, of_settings, of_weights

__all__ = ["of_loss", "of_settings", "of_weights"]
