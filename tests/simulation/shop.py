"""A small shop, the way a user would write it: a bank to fake, a workflow that charges twice, and one that does not."""

import asyncio

import attrs

from mainspring import Context, Workflow, stage
from mainspring.testing import SimulatedRun, effect, outside


class Bank:
    """A fake: it honours idempotency keys, where it is given any."""

    def __init__(self) -> None:
        self.charges: list[int] = []
        self.keys: set[str] = set()

    async def charge(self, cents: int, key: str | None = None) -> None:
        async with effect("charge"):
            if key is None or key not in self.keys:
                self.charges.append(cents)
            if key is not None:
                self.keys.add(key)


@attrs.define
class Till:
    """Where bodies find the bank."""

    bank: Bank = attrs.field(factory=Bank)


TILL = Till()


def fresh_bank() -> Bank:
    TILL.bank = Bank()
    return TILL.bank


@stage
async def reserve(ctx: Context, cents: int) -> int:
    ctx.log("reserving", cents=cents)
    await asyncio.sleep(0.2)
    return cents


@stage(id="charge")
async def charge_carelessly(ctx: Context, cents: int) -> int:
    await TILL.bank.charge(cents)
    return cents


@stage
async def charge(ctx: Context, cents: int) -> int:
    await TILL.bank.charge(cents, key=ctx.idempotency_key)
    return cents


@stage(id="charge")
async def charge_outside(ctx: Context, cents: int) -> int:
    told: int = await outside().call("charge", key=ctx.idempotency_key, token=ctx.fencing_token, value=cents)
    return told


@stage
def ship(ctx: Context, cents: int) -> str:
    return f"shipped for {cents}"


careless = Workflow("careless", version="1").pipe(reserve).pipe(charge_carelessly).pipe(ship)
checkout = Workflow("checkout", version="1").pipe(reserve).pipe(charge).pipe(ship)
paying = Workflow("paying", version="1").pipe(reserve).pipe(charge_outside).pipe(ship)


def charged_once(run: SimulatedRun[str, Bank]) -> None:
    assert len(run.fakes.charges) <= 1, f"charged {len(run.fakes.charges)} times"
    assert run.fakes.charges or not run.completed, "shipped, never charged"
