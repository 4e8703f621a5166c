"""Reads and writes files of named tensors, their layouts and names, without MXNet and without PyTorch."""
