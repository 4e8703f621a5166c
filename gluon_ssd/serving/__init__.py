"""A detector as an HTTP server: `gluon-ssd serve` and docs/serving.md. It needs the extra ``serve``."""
