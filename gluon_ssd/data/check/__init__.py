"""Finds what is wrong with a data set without training on it. Nothing here prints."""
