"""Stopping an account, starting it again, and giving it a new password."""

from ..support import Caller, Server
from .conftest import Desk


async def test_a_new_password_is_said_once_and_ends_the_old_one(desk: Desk) -> None:
    said = await desk.operator.call(
        "POST", "/admin/commands/create-single-user", {"username": "one", "samples-index": 3}
    )
    old = said.body.decode().splitlines()[2].removeprefix("Password: ")
    command = await desk.by_command("set-password", "one", length=12)
    assert (command.status, command.error) == (0, "")
    name, new = command.text.splitlines()
    assert name == "Username: one"
    password = new.removeprefix("Password: ")
    assert len(password) == 12
    async with Caller(desk.operator.url) as phone:
        document = {"username": "one", "password": old}
        assert (await phone.call("POST", "/api/token/", document)).status == 401
        await phone.sign_in("one", password)


async def test_a_stopped_account_may_be_started_again(server: Server) -> None:
    (made,) = await server.app.services.accounts.create_users(1, prefix="phone")
    document = {"username": made.username, "password": made.password}

    async def run(name: str) -> bytes:
        path = f"/admin/commands/{name}"
        answer = await server.operator.call("POST", path, {"username": "phone1"})
        assert answer.status == 200
        return answer.body

    async with Caller(server.url) as phone:
        for _ in range(2):
            assert await run("deactivate") == b"User 'phone1' deactivated\n"
            assert (await phone.call("POST", "/api/token/", document)).status == 401
        assert await run("activate") == b"User 'phone1' activated\n"
        await phone.sign_in(made.username, made.password)


async def test_accounts_that_are_not_there_are_named(server: Server) -> None:
    for name in ("set-password", "activate", "deactivate"):
        answer = await server.operator.call(
            "POST", f"/admin/commands/{name}", {"username": "nobody"}
        )
        assert (answer.status, answer.json["detail"]) == (404, "There is no user nobody.")
    assert await server.app.services.store.users.by_username("nobody") is None


async def test_a_new_password_has_a_sensible_length(server: Server) -> None:
    await server.app.services.accounts.create_users(1, prefix="phone")
    answer = await server.operator.call(
        "POST", "/admin/commands/set-password", {"username": "phone1", "length": 3}
    )
    assert (answer.status, answer.json.keys()) == (400, {"length"})
