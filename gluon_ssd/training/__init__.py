"""Training and evaluation of networks, in one process or in several."""
