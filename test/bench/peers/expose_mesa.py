"""The model of kernel `expose` for one persona and one contact stimulus in Mesa: one object an agent with a step of its own, its traits as plain
Python numbers, draws from Python's generator. Leaving is drawn for everybody who was exposed and did not come to the last step."""
from math import exp

import mesa


class World:
    """The parameters of one world as floats."""

    def __init__(self, arrays, args, world):
        kind, offsets = arrays["slotKind"].tolist(), arrays["tableOffset"].tolist()
        self.numeric = [slot for slot, each in enumerate(kind) if each == 1]
        self.levels = [slot for slot, each in enumerate(kind) if each == 2]
        self.weights = [[float(row[slot]) / 2**19 for slot in self.numeric] for row in arrays["weights"][world]]
        self.tables = [[[float(value) / 2**14 for value in row[offsets[slot] :]] for slot in self.levels] for row in arrays["tables"][world]]
        self.leave = 1 / (1 + exp(-arrays["leaveBias"][world] / 2**14))
        self.bias = [float(value) / 2**14 for value in arrays["bias"][world]]
        self.counts = [0] * 5


class Recipient(mesa.Agent):
    def __init__(self, model, world, traits, levels):
        super().__init__(model)
        self.world, self.traits, self.levels = world, traits, levels
        self.pressure, self.furthest, self.left = 0, 0, False

    def step(self):
        self.pressure -= (self.pressure + 15) >> 4
        if self.left:
            return
        world, model = self.world, self.model
        world.counts[0] += 1
        draw, chance, reached = model.random.random(), 1.0, 0
        for step in range(3):
            logit = world.bias[step] + model.offset[step] - self.pressure * model.pressure_weight[step]
            for weight, trait in zip(world.weights[step], self.traits):
                logit += weight * trait
            for table, level in zip(world.tables[step], self.levels):
                logit += table[level]
            chance /= 1 + exp(-logit)
            if draw >= chance:
                break
            reached += 1
            world.counts[reached] += 1
        if reached < 3 and model.random.random() < world.leave:
            self.left = True
            world.counts[4] += 1
        self.furthest = max(self.furthest, reached)
        self.pressure = min(255, self.pressure + model.gain + (model.gain_response if reached else 0))


class Rehearsal(mesa.Model):
    def __init__(self, arrays, args, seed):
        super().__init__(seed=seed)
        self.gain, self.gain_response = args["gain"], args["gainResponse"]
        self.pressure_weight = [float(value) / 2**14 for value in arrays["pressureWeight"]]
        self.offsets = (arrays["offset"] / 2**14).tolist()
        self.worlds = [World(arrays, args, world) for world in range(args["worlds"])]
        for number, codes in enumerate(arrays["codes"].tolist()):
            world = self.worlds[(number >> args["worldShift"]) % args["worlds"]]
            Recipient(self, world, [float(codes[slot]) for slot in world.numeric], [codes[slot] for slot in world.levels])

    def live(self):
        for self.offset in self.offsets:
            self.agents.do("step")
        return [world.counts for world in self.worlds]


class Peer:
    def __init__(self, arrays, args):
        self.arrays, self.args, self.seed = arrays, args, 0

    def reset(self):
        self.seed += 1
        self.model = Rehearsal(self.arrays, self.args, self.seed)

    def run(self):
        return self.model.live()


def prepare(arrays, args):
    return Peer(arrays, args)
