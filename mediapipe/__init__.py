"""mediapipe moves finished downloads to Backblaze B2 and frees the disk once that is proven."""

__version__ = "0.1.0"
