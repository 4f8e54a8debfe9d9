"""What one evaluation records beyond loss and accuracy: norms by group, spectra, margins, Fourier structure."""
