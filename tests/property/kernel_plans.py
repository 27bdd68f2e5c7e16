"""Random small plans, and what their runs must put out: told a second time, without the kernel."""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from random import Random

import attrs
from hypothesis import strategies as st

from mainspring.kernel.outcomes import Completed
from mainspring.kernel.plan import Plan, StagePlan
from mainspring.kernel.retry import Retry
from mainspring.ports.names import Fingerprint, Payload, StageId
from tests.kernel_records import plan, stage

Outputs = Mapping[tuple[StageId, int], Payload]


@attrs.frozen
class Shape:
    """A plan, and how long the lists are that its stages (and the run's input, under "") give to mapped ones."""

    plan: Plan
    widths: Mapping[str, int]

    def elements(self, at: str, seed: str) -> tuple[Payload, ...]:
        """The elements of the list that the stage puts out."""
        return tuple(Payload(json.dumps(f"{seed}.{number}")) for number in range(self.widths.get(at, 0)))

    def body(self, at: StageId, index: int, inputs: list[str]) -> Completed:
        """What the stage's body makes of its inputs: another text for each stage, instance and input."""
        seed = hashlib.sha256(json.dumps([at, index, inputs]).encode()).hexdigest()[:8]
        if not self.feeds_a_map(at):
            return Completed(output=Payload(json.dumps(seed)))
        elements = self.elements(at, seed)
        return Completed(output=Payload("[" + ",".join(elements) + "]"), elements=elements)

    def feeds_a_map(self, at: StageId) -> bool:
        """Whether a mapped stage takes this one's list apart."""
        below = (self.plan.stages[follower] for follower in self.plan.downstream[at])
        return not self.plan.stages[at].mapped and any(node.mapped for node in below)

    def inputs(self, node: StagePlan, index: int, outputs: Outputs, element: Payload | None) -> list[str]:
        """What an instance reads: its element, its upstream instance, or all that its upstream stages put out."""
        if element is not None:
            return [element]
        if node.mapped and node.after:
            return [outputs[node.after[0], index]]
        return [text for above in sorted(node.after) for text in all_of(above, outputs)]

    def expected(self) -> Outputs:
        """Every output of a run that completes."""
        outputs: dict[tuple[StageId, int], Payload] = {}
        for node in self.plan.stages.values():
            for index, element in enumerate(self._instances(node, outputs)):
                inputs = self.inputs(node, index, outputs, element)
                outputs[node.id, index] = self.body(node.id, index, inputs).output
        return outputs

    def _instances(self, node: StagePlan, outputs: Outputs) -> list[Payload | None]:
        if not node.mapped:
            return [None]
        if not node.after:
            return list(self.elements("", "input"))
        if self.plan.stages[node.after[0]].mapped:
            return [None] * len(all_of(node.after[0], outputs))
        return [Payload(json.dumps(text)) for text in json.loads(outputs[node.after[0], 0])]


def all_of(at: StageId, outputs: Outputs) -> list[Payload]:
    """The outputs of all instances of a stage, in order."""
    return [outputs[key] for key in sorted(outputs) if key[0] == at]


def shape_of(seed: int) -> Shape:
    """Lines, parallel stages and joins, maps with and without a bound, over empty lists and over maps.

    One number instead of thirty drawn ones: four times as many examples in the same time. Small seeds are small plans.
    """
    random = Random(seed)
    nodes: list[StagePlan] = []
    for number in range(1 + seed % 5):
        names = [node.id for node in nodes]
        mapped = random.random() < 0.5
        least = 1 if names and random.random() < 0.8 else 0
        after = random.sample(names, min(len(names), random.randint(least, 1 if mapped else 3)))
        retry = Retry(max_attempts=random.randint(1, 3), initial=timedelta(seconds=1), jitter=0.0)
        bound = random.choice([None, 1, 2]) if mapped else None
        nodes.append(stage("abcde"[number], *sorted(after), mapped=mapped, max_parallel=bound, retry=retry))
    widths: dict[str, int] = {node.id: random.randint(0, 3) for node in nodes}
    fingerprint = Fingerprint(f"{seed:016x}")
    widths[""] = random.randint(0, 3)
    return Shape(attrs.evolve(plan(*nodes), fingerprint=fingerprint), widths)


SEEDS = st.integers(0, 99_999)
