"""Documents that have to name everything there is."""

import re
from pathlib import Path

import msgspec
import pytest

from flaas.cli import commands
from flaas.domain.project import Project
from flaas.operations.catalogue import OPERATIONS
from flaas.web.routes import ROUTES

ROOT = Path(__file__).parent.parent


def test_every_route_is_in_the_api_page_with_each_of_its_verbs() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    documented = {
        (verb, path) for verb, path in re.findall(r"`([A-Z]+) (/[^`?]*)(?:\?[^`]*)?`", page)
    }
    served = {
        (verb, re.sub(r":(n|rest)}", "}", path))
        for path, handler in ROUTES
        for verb in handler.access
    }
    assert documented == served


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Project)])
def test_every_field_of_a_project_is_in_the_api_page(field: str) -> None:
    assert f"`{field}`" in (ROOT / "docs" / "api.md").read_text("utf-8")


def test_the_readme_names_commands_that_exist() -> None:
    named = re.findall(r"server\.py ([a-z][a-z-]+)", (ROOT / "README.md").read_text("utf-8"))
    assert set(named) <= set(commands.commands)
    assert len(named) > 5


def test_every_command_is_in_the_operations_page_with_its_twin() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for name, operation in OPERATIONS.items():
        section = page.partition(f"### {name}\n")[2].partition("\n#")[0]
        twin = "POST /admin/commands" if operation.changes else "GET /admin/reports"
        assert f"`{twin}/{name}" in section, name
        assert operation.help in section
        for parameter in operation.parameters:
            shown = parameter.name.upper() if parameter.positional else f"--{parameter.name}"
            assert f"`{shown}`" in section, (name, parameter.name)
    shell_only = page.partition("## The shell only")[2]
    for name in set(commands.commands) - OPERATIONS.keys():
        assert re.search(rf"`{name}[ `]", shell_only), name


def test_every_admin_route_is_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for path, _ in ROUTES:
        if path.startswith("/admin/"):
            assert path.partition("{")[0].rstrip("/") in page


def test_every_test_that_the_threat_model_names_is_there() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    named = re.findall(r"`([a-z_/0-9]+\.py)::(test_\w+)`", page)
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text("utf-8"), (file, test)
