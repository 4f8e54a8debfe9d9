"""Changes of a training while it goes on: which there are, what they do, and when."""
