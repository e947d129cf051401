"""Writers of model files, one module a format."""
