"""verify and clean-up, as an operator calls them."""

from flaas.domain.round import global_model_key

from ..support import Server, advance, floats


async def complete_round(server: Server) -> int:
    await server.operator.put_model("M", [0.0, 0.0])
    project_id = await server.operator.create_project(number_of_rounds=1)
    phones = await server.phones(2, project_id)
    for phone in phones:
        await phone.ping()
    await server.operator.start(project_id)
    await advance(server.app, project_id)
    round_ = await server.app.services.store.rounds.by_number(project_id, 0)
    assert round_
    for number, phone in enumerate(phones):
        body = floats([float(number), 1.0])
        assert (await phone.submit_model(project_id, 0, body)).status == 201
        assert (await phone.report(round_.request_id)).status == 201
        await phone.__aexit__(None, None, None)
    await advance(server.app, project_id)
    return project_id


async def test_a_model_that_is_what_its_updates_make(server: Server) -> None:
    project_id = await complete_round(server)
    answer = await server.operator.call("GET", f"/admin/reports/verify/{project_id}")
    assert answer.status == 200
    assert answer.body.decode() == (
        "Round 0 (complete, 2 updates): bit-identical\n1 round(s) verified.\n"
    )


async def test_a_model_that_is_not(server: Server) -> None:
    project_id = await complete_round(server)
    async with server.app.services.files.create(global_model_key(project_id, 1)) as out:
        await out.write(floats([7.0, 7.0]))
        await out.commit()
    answer = await server.operator.call("GET", f"/admin/reports/verify/{project_id}")
    assert answer.status == 409
    assert answer.json["detail"] == "Not what the stored updates make: round(s) 0."
    answer = await server.operator.call("GET", f"/admin/reports/verify/{project_id}?format=json")
    (row,) = answer.json
    assert row["wrong"] == ["the resulting model's file is not the recorded one"]
    assert row["identical"] is False


async def test_a_round_that_is_not_there(server: Server) -> None:
    project_id = await complete_round(server)
    answer = await server.operator.call("GET", f"/admin/reports/verify/{project_id}?round=5")
    assert (answer.status, answer.json["detail"]) == (
        404,
        f"Project {project_id} has no round 5.",
    )
    assert (await server.operator.call("GET", "/admin/reports/verify/99")).status == 404


async def test_clean_up_says_what_it_would_delete_before_it_does(server: Server) -> None:
    key = "projects/77/0/5/model_weights.bin"
    async with server.app.services.files.create(key) as out:
        await out.write(b"1234")
        await out.commit()
    found = await server.operator.call("POST", "/admin/commands/clean-up")
    assert found.body.decode() == (
        f"{key}: there is no such project\n1 file(s) of 4 bytes have no owner; "
        "--delete deletes them.\n"
    )
    assert await server.app.services.files.stat(key)
    deleted = await server.operator.call("POST", "/admin/commands/clean-up", {"delete": True})
    assert deleted.body.decode().endswith("1 file(s) of 4 bytes deleted.\n")
    assert not await server.app.services.files.stat(key)
    again = await server.operator.call("POST", "/admin/commands/clean-up", {"delete": True})
    assert again.body.decode() == "Every file of a project has an owner.\n"
