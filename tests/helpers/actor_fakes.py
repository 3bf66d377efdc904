"""Pools of actors in the process of the test: scripted records in any order of arrival, or real actors."""

from types import SimpleNamespace

import numpy as np
from gymnasium import spaces
from torch import nn

from common.storage.spaces import Spaces
from common.training.actors.actor import Actor
from common.training.actors.exchange import Chunk, Lost, Ready, Request
from common.training.actors.shares import with_seed
from common.training.collector import Tally

OBS = spaces.Dict({"serial": spaces.Box(-np.inf, np.inf, (3,), np.float32)})
ACT = spaces.Discrete(2)
SPEC = {
    "serial": ((3,), np.float32), "reward": ((), np.float32), "action": ((2,), np.float32),
    **{key: ((), bool) for key in ("is_first", "is_last", "is_terminal")},
}  # fmt: skip


class ScriptedActor:
    """Numbers its records (life, environment, number) and ends episodes at random."""

    def __init__(self, random, life, num):
        self.random, self.life, self.num = random, life, num
        self.count, self.over = 0, np.ones(num, bool)
        self.tally = Tally(num)

    def chunk(self, request):
        rows, episodes = [], []
        for _ in range(request.rounds):
            first, last = self.over, ~self.over & (self.random.random(self.num) < 0.2)
            serial = [(self.life, env, self.count) for env in range(self.num)]
            row = {"serial": np.array(serial, np.float32), "is_first": first, "is_last": last}
            row |= {"is_terminal": last & (self.random.random(self.num) < 0.5)}
            row |= {"reward": np.where(first, 0, 1).astype(np.float32), "action": np.ones((self.num, 2), np.float32)}
            episodes += self.tally.see(row, np.zeros(self.num, bool)).values()
            rows.append(row)
            self.count, self.over = self.count + 1, last
        records = {key: np.stack([row[key] for row in rows]) for key in request.keys}
        return Chunk(records, episodes, None, np.zeros(len(rows), bool), request.version, [])


class ScriptedPool:
    """Answers in a random order over actors, and loses an actor at some requests.

    losses: probability that a request kills its actor. delivered: what the learner has received, in order. faults:
    what to do wrong, for tests of the tests.
    """

    def __init__(self, random, sizes, losses=0.0):
        self.random, self.sizes, self.losses = random, sizes, losses
        self.actors, self.queues, self.published, self.requests = {}, {}, [], []
        self.delivered = [[] for _ in sizes]

    def start(self, actor, life):
        self.actors[actor] = ScriptedActor(self.random, life, self.sizes[actor])
        self.queues[actor] = [Ready(Spaces(OBS, ACT, (OBS, ACT)), self.sizes[actor], 1, "here", 0, [])]

    def publish(self, weights, version):
        self.published.append((version, weights))

    def ask(self, actor, request):
        assert isinstance(request, Request)
        assert self.published, "no weights"
        self.requests.append((actor, request))
        self.queues[actor].append(request)

    def answers(self, seconds):
        waiting = [actor for actor, queue in self.queues.items() if queue]
        some = self.random.permutation(waiting)[: self.random.integers(0, len(waiting) + 1)]
        return [(int(actor), self._answer(int(actor))) for actor in some]

    def _answer(self, actor):
        head = self.queues[actor].pop(0)
        if isinstance(head, Ready):
            return head
        if self.random.random() < self.losses:
            self.queues[actor] = []
            self.delivered[actor].append("lost")
            return Lost("the test said that it died")
        chunk = self.actors[actor].chunk(head)
        self.delivered[actor].append(chunk)
        return chunk

    def close(self):
        self.queues = {}


def acting_agent():
    """Return an agent that has only the modules that act."""
    acting = SimpleNamespace(encoder=nn.Linear(2, 2), rssm=nn.Linear(2, 2), actor=nn.Linear(2, 2))
    return SimpleNamespace(acting=acting, explorer=SimpleNamespace(acting=lambda task, mode, step: task))


class PoolHere:
    """Real actors in this process, in the place of `RayPool`. An actor that is in `doomed` dies at its next request."""

    made = []  # noqa: RUF012 (the tests clear it)

    def __init__(self, configs, cpus, address):
        self.configs, self.actors, self.queues, self.weights = configs, {}, {}, None
        self.doomed, self.requests, self.seen_weights = set(), [], []
        self.made.append(self)

    def start(self, actor, life):
        self.actors[actor] = Actor(with_seed(self.configs[actor], actor, life))
        self.queues[actor] = [None]

    def publish(self, weights, version):
        self.weights = weights

    def ask(self, actor, request):
        self.requests.append((actor, request))
        self.queues[actor].append((request, self.weights))

    def answers(self, seconds):
        return [(actor, self._answer(actor)) for actor, queue in self.queues.items() if queue]

    def _answer(self, actor):
        head, process = self.queues[actor].pop(0), self.actors[actor]
        if head is None:
            return process.start()
        if actor in self.doomed:
            self.doomed.discard(actor)
            self.queues[actor] = []
            return Lost("the test killed it")
        request, weights = head
        if request.version != process.version:
            process.load(weights, request.version)
        return process.collect(request)

    def close(self):
        for actor in self.actors.values():
            actor.stop()
