"""Forms, as bodies."""

from typing import Final
from urllib.parse import parse_qs

from flaas.domain.errors import Malformed

FORM: Final = "application/x-www-form-urlencoded"

_FIELDS_MAX: Final = 1000


def read_form(body: bytes) -> dict[str, list[str]]:
    """Every field with its values. Raises `Malformed`."""
    try:
        return parse_qs(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError:
        raise Malformed("The form cannot be read.") from None
