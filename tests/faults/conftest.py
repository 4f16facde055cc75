"""What the tests of faults share."""

from ..services.conftest import world

__all__ = ["world"]
