"""Versions of what is installed, and None for what is not."""

import numpy as np

from mmgraph.versions import installed_versions


def test_versions_in_the_order_asked_for() -> None:
    found = installed_versions(["no-such-package", "numpy"])
    assert list(found.items()) == [("no-such-package", None), ("numpy", np.__version__)]
