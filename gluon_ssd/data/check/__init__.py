"""What is wrong with a data set, found without training on it. Nothing here prints."""
