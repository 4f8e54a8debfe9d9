"""What is learned: each task builds named splits of numpy arrays and says what the trivial predictor reaches."""
