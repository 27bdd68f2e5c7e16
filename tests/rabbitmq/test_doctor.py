"""What an examination of a queue at RabbitMQ tells."""

import asyncio
from collections.abc import Callable

from aiormq.abc import AbstractChannel

from mainspring.adapters.rabbitmq.doctor import examine_rabbitmq
from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.adapters.rabbitmq.topology import job_topology
from mainspring.ports.diagnosis import Check, Verdict
from tests.postgres.daemons import free_port
from tests.rabbitmq.looking import channel
from tests.rabbitmq.server import RabbitServer


def made(url: str) -> None:
    async def ready() -> None:
        transport = RabbitJobTransport(url)
        await transport.ready()
        await transport.close()

    asyncio.run(ready())


def told(server: RabbitServer, doing: Callable[[AbstractChannel], object]) -> None:
    async def tell() -> None:
        async with channel(server.address) as opened:
            answer = doing(opened)
            assert asyncio.iscoroutine(answer)
            await answer

    asyncio.run(tell())


def named(url: str) -> dict[str, Check]:
    return {check.name: check for check in examine_rabbitmq(url)}


def test_a_queue_that_was_made_by_a_worker_is_in_order(rabbit_queue: str) -> None:
    made(rabbit_queue)
    checks = named(rabbit_queue)
    assert {check.verdict for check in checks.values()} == {Verdict.OK}
    assert list(checks) == ["reachable", "server", "queue", "dead letters", "wait queues", "refused messages"]
    assert checks["queue"].found.startswith("quorum, dead-lettered to ")


def test_a_queue_that_is_not_there_is_told_and_not_made(rabbit_queue: str, rabbitmq: RabbitServer) -> None:
    for _ in range(2):
        checks = named(rabbit_queue)
        assert [name for name, check in checks.items() if check.verdict is Verdict.WARNING] == [
            "queue",
            "dead letters",
            "wait queues",
        ]


def test_a_queue_with_other_properties_is_a_failure(
    rabbit_queue: str, rabbit_name: str, rabbitmq: RabbitServer
) -> None:
    made(rabbit_queue)
    told(rabbitmq, lambda opened: opened.queue_delete(rabbit_name))
    arguments = dict(job_topology(rabbit_name)[2].arguments) | {"x-delivery-limit": 3}
    told(rabbitmq, lambda opened: opened.queue_declare(rabbit_name, durable=True, arguments=arguments))
    check = named(rabbit_queue)["queue"]
    assert check.verdict is Verdict.FAILURE
    assert "x-delivery-limit" in check.found


def test_a_wait_queue_that_is_gone_is_named(rabbit_queue: str, rabbit_name: str, rabbitmq: RabbitServer) -> None:
    made(rabbit_queue)
    told(rabbitmq, lambda opened: opened.queue_delete(f"{rabbit_name}.wait-500"))
    check = named(rabbit_queue)["wait queues"]
    assert (check.verdict, check.found) == (Verdict.WARNING, f"{rabbit_name}.wait-500: not there")


def test_refused_messages_are_counted(rabbit_queue: str, rabbit_name: str, rabbitmq: RabbitServer) -> None:
    made(rabbit_queue)
    told(rabbitmq, lambda opened: opened.basic_publish(b"{}", routing_key=f"{rabbit_name}.dead"))
    check = named(rabbit_queue)["refused messages"]
    assert (check.verdict, check.found) == (Verdict.WARNING, f"1 in {rabbit_name}.dead")


def test_a_broker_that_does_not_run_is_a_failure_without_the_password() -> None:
    (check,) = examine_rabbitmq(f"amqp://me:secret@127.0.0.1:{free_port()}/")
    assert (check.name, check.verdict) == ("reachable", Verdict.FAILURE)
    assert "secret" not in check.found + check.remedy
