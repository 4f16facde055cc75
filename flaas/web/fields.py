"""Handlers that take a few text fields."""

from flaas.domain.errors import Invalid, Malformed, WrongMediaType
from flaas.web.base import Handler, read_json
from flaas.web.forms import FORM, read_form


class FieldsHandler(Handler):
    # Anyone may send to these, and what is read so far is held.
    body_limit = 64 << 10

    def fields(self, *names: str) -> list[str]:
        """These text fields of the form or the JSON object. Raises `Invalid`."""
        given = self._read()
        wrong: dict[str, list[str]] = {}
        values = []
        for name in names:
            value = given.get(name)
            if value is None:
                wrong[name] = ["This field is required."]
            elif not isinstance(value, str):
                wrong[name] = ["Not a valid string."]
            elif not value.strip():
                wrong[name] = ["This field may not be blank."]
            else:
                values.append(value)
        if wrong:
            raise Invalid(wrong)
        return values

    def _read(self) -> dict[str, object]:
        if self.media_type in (FORM, "") and not self.body.lstrip().startswith(b"{"):
            return {name: values[-1] for name, values in read_form(self.body).items()}
        if self.media_type not in ("application/json", ""):
            raise WrongMediaType("Send a form or JSON.")
        document = read_json(self.body)
        if not isinstance(document, dict):
            raise Malformed("Expected a JSON object.")
        return document
