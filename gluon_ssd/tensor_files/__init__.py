"""Files of named tensors, their layouts and names: read and written without MXNet and without torch."""
