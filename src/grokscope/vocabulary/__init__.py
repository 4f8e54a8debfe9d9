"""The words that all rooms share: splits and their roles, columns of metrics and what they mean, numbers as text."""
