"""The model of kernel `expose` for one persona and one contact stimulus in vectorized numpy, on our agents' codes and our weights.

Float32 and draws of its own (SFC64), so the same model and not the same bits. World by world, because a world's weights are then scalars
and its 5,000 agents fit a cache: logit of step 0 by one matrix product, the level traits merged into one code that is looked up, one uniform for
the whole funnel. Only who opens is looked at again, and leaving, which is rare, is drawn as the gaps between candidates. What nobody reads
(ticks since the last contact) is left out.
"""
import numpy as np

F = np.float32
NUMERIC, LEVEL = 1, 2


class Population:
    def __init__(self, arrays, args):
        self.__dict__.update(args)
        self.rng = np.random.Generator(np.random.SFC64(7))
        codes, kind = arrays["codes"], arrays["slotKind"]
        world = (np.arange(len(codes)) >> self.worldShift) % self.worlds
        numeric, levels = np.flatnonzero(kind == NUMERIC), np.flatnonzero(kind == LEVEL)
        self.columns = len(numeric)
        # Worlds are padded to the size of the largest; padding never lives.
        self.size = int(np.bincount(world, minlength=self.worlds).max())
        # The last column is the pressure, so that the product takes it along.
        self.traits = np.zeros((self.worlds, self.columns + 1, self.size), F)
        counts = [int(codes[:, slot].max()) + 1 for slot in levels]
        strides = np.cumprod([1, *counts[:-1]])
        self.level = np.zeros((self.worlds, self.size), np.uint8 if np.prod(counts) <= 256 else np.intp)
        self.real = np.zeros((self.worlds, self.size), bool)
        for w in range(self.worlds):
            own = codes[world == w]
            self.traits[w, :-1, : len(own)] = own[:, numeric].T
            self.level[w, : len(own)] = own[:, levels].astype(np.intp) @ strides
            self.real[w, : len(own)] = True
        self.weight = np.concatenate([arrays["weights"][:, :, numeric] / 2**19, np.broadcast_to(-arrays["pressureWeight"][None, :, None] / 2**14, (self.worlds, 3, 1))], axis=2).astype(F)
        combined = np.arange(int(np.prod(counts)))
        self.table = np.repeat(arrays["bias"][:, :, None] / 2**14, len(combined), axis=2)
        for slot, count, stride in zip(levels, counts, strides):
            self.table += arrays["tables"][:, :, arrays["tableOffset"][slot] + combined // stride % count] / 2**14
        self.offset = arrays["offset"] / 2**14
        self.leave = 1 / (1 + np.exp(-arrays["leaveBias"] / 2**14))
        self.logit, self.uniform, self.other = (np.empty(self.size, F) for _ in range(3))
        self.opens = np.empty(self.size, bool)

    def reset(self):
        self.pressure = np.zeros((self.worlds, self.size), np.uint16)
        self.stage = np.zeros(self.worlds * self.size, np.uint8)
        self.live = self.real.copy()
        self.gains = self.live * np.uint16(self.gain)
        self.counts = np.zeros((self.worlds, 5), np.int64)

    def run(self):
        for tick in range(self.ticks):
            self.tick((self.table + self.offset[tick][None, :, None]).astype(F))
        return self.counts

    def tick(self, table):
        x, u, other, opens, size = self.logit, self.uniform, self.other, self.opens, self.size
        opened, nested, later = [], [], []
        for w in range(self.worlds):
            pressure, traits, weight = self.pressure[w], self.traits[w], self.weight[w]
            # p - ceil(p / 16)
            pressure *= np.uint16(15)
            pressure >>= np.uint16(4)
            traits[-1] = pressure
            np.dot(weight[0], traits, out=x)
            np.take(table[w, 0], self.level[w], out=other, mode="clip")
            x += other
            # u < 1 / (1 + exp(-x)), without the division
            np.negative(x, out=x)
            np.exp(x, out=x)
            x += F(1)
            self.rng.random(out=u, dtype=F)
            x *= u
            np.less(x, F(1), out=opens)
            opens &= self.live[w]
            at = np.flatnonzero(opens)
            opened.append(at + w * size)
            nested.append(x.take(at))
            later.append(weight[1:] @ traits.take(at, axis=1))
        first, v, logits = np.concatenate(opened), np.concatenate(nested), np.concatenate(later, axis=1)
        world = first // size
        self.counts[:, 0] += np.count_nonzero(self.live, axis=1)
        self.counts[:, 1] += np.bincount(world, minlength=self.worlds)
        reached = [first]
        for step in (1, 2):
            entry = world * table.shape[2] + self.level.reshape(-1).take(reached[-1])
            v *= 1 + np.exp(-logits[step - 1] - table[:, step].reshape(-1).take(entry))
            on = np.flatnonzero(v < 1)
            reached.append(reached[-1][on])
            v, world, logits = v[on], world[on], logits[:, on]
            self.counts[:, 1 + step] += np.bincount(world, minlength=self.worlds)

        stage, pressure = self.stage, self.pressure.reshape(-1)
        for step, agents in enumerate(reached):
            stage[agents] = np.maximum(stage[agents], step + 1)
        self.pressure += self.gains
        pressure[first] += np.uint16(self.gainResponse)
        np.minimum(pressure, np.uint16(255), out=pressure)

        # Candidates at the largest chance of any world, thinned to each world's own; who came to the last step stays.
        most, agents = self.leave.max(), self.worlds * size
        places = np.cumsum(self.rng.geometric(most, int(agents * most + 6 * np.sqrt(agents * most) + 10))) - 1
        places = places[places < agents]
        places = places[self.live.reshape(-1)[places]]
        places = places[self.rng.random(len(places)) * most < self.leave[places // size]]
        places = np.setdiff1d(places, reached[2], assume_unique=True)
        self.live.reshape(-1)[places] = False
        self.gains.reshape(-1)[places] = 0
        self.counts[:, 4] += np.bincount(places // size, minlength=self.worlds)


def prepare(arrays, args):
    return Population(arrays, args)
