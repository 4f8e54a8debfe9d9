"""Images as arrays: file reading, a cache of decoded images, and contact sheets."""
