"""Interventions: changes to training while it runs."""
