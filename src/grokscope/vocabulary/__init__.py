"""The shared vocabulary: splits and their roles, metric columns and their meaning, number formatting."""
