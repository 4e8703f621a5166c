"""A zoo that is as it was before, whatever is registered in it."""

import sys
from contextlib import contextmanager

import pytest

from gluon_ssd.model_zoo import registry
from gluon_ssd.plugins import import_plugins


@contextmanager
def own_zoo(*plugins):
    """Imports these plugins; after the block, what was registered and imported as a plugin in it is gone."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_MODELS", dict(registry._MODELS))
        try:
            import_plugins([str(plugin) for plugin in plugins])
            yield
        finally:
            # A plugin whose module stays is not imported again, and the next test would miss its models.
            for name in set(sys.modules) - before:
                if name.startswith(("gluon_ssd_plugin", "my_models")):
                    del sys.modules[name]
