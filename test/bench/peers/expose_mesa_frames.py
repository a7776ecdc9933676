"""The model of kernel `expose` for one persona and one contact stimulus in mesa-frames: the agents are one polars data frame, a tick is expressions
over its columns. Each world's weights are looked up by the agent's world; later steps are computed for those who came to the step before."""
import numpy as np
import polars as pl
from mesa_frames import AgentSetPolars, ModelDF


class Recipients(AgentSetPolars):
    def __init__(self, model, arrays, args):
        super().__init__(model)
        codes, kind = arrays["codes"], arrays["slotKind"]
        self.numeric, self.levels = np.flatnonzero(kind == 1).tolist(), np.flatnonzero(kind == 2).tolist()
        columns = {"unique_id": np.arange(len(codes)), "world": ((np.arange(len(codes)) >> args["worldShift"]) % args["worlds"]).astype(np.uint32)}
        columns |= {f"trait{slot}": codes[:, slot].astype(np.float32) for slot in self.numeric}
        # The code of a level slot is its place in a table of all worlds.
        columns |= {f"level{slot}": (columns["world"] * args["tableLength"] + arrays["tableOffset"][slot] + codes[:, slot]).astype(np.uint32) for slot in self.levels}
        self.add(pl.DataFrame(columns).with_columns(pressure=pl.lit(0, pl.Int16), furthest=pl.lit(0, pl.UInt8), left=pl.lit(False)))

    def logit(self, step):
        of, total = self.model.parameters[step], pl.lit(self.model.bias[step]).gather(pl.col("world")) - pl.col("pressure") * self.model.pressure_weight[step]
        for slot in self.numeric:
            total += pl.col(f"trait{slot}") * pl.lit(of["weights"][slot]).gather(pl.col("world"))
        for slot in self.levels:
            total += pl.lit(of["tables"]).gather(pl.col(f"level{slot}"))
        return total

    def step(self):
        model, random = self.model, self.model.random
        agents = self.agents.with_columns(pressure=pl.col("pressure") - (pl.col("pressure") + 15) // 16)
        exposed = agents.filter(~pl.col("left")).with_columns(draw=pl.Series(random.random(int((~agents["left"]).sum()), dtype=np.float32)), chance=pl.lit(1.0, pl.Float32))
        world = [exposed["world"]]
        reached = exposed
        steps = []
        for step in range(3):
            reached = reached.with_columns(chance=pl.col("chance") / (1 + (-self.logit(step)).exp())).filter(pl.col("draw") < pl.col("chance"))
            steps.append(reached.select("unique_id"))
            world.append(reached["world"])
        furthest = pl.concat([ids.with_columns(reached=pl.lit(step + 1, pl.UInt8)) for step, ids in enumerate(steps)]).group_by("unique_id").agg(pl.col("reached").max())
        leaving = exposed.select("unique_id", "world").filter(pl.Series(random.random(len(exposed), dtype=np.float32)) < pl.lit(model.leave).gather(pl.col("world"))).join(steps[2], on="unique_id", how="anti")
        world.append(leaving["world"])
        # Ids are row numbers.
        reached_now = np.zeros(len(agents), np.uint8)
        reached_now[furthest["unique_id"].to_numpy()] = furthest["reached"].to_numpy()
        leaves = np.zeros(len(agents), bool)
        leaves[leaving["unique_id"].to_numpy()] = True
        gain = model.gain + model.gain_response * (pl.col("reached") > 0).cast(pl.Int16)
        self.agents = agents.with_columns(reached=pl.Series(reached_now), leaves=pl.Series(leaves)).with_columns(
            pressure=pl.when(pl.col("left")).then(pl.col("pressure")).otherwise(pl.min_horizontal(pl.col("pressure") + gain, pl.lit(255))).cast(pl.Int16),
            furthest=pl.max_horizontal("furthest", "reached"),
            left=pl.col("left") | pl.col("leaves"),
        ).drop("reached", "leaves")
        for column, worlds in enumerate(world):
            model.counts[:, column] += np.bincount(worlds.to_numpy(), minlength=len(model.counts))


class Rehearsal(ModelDF):
    def __init__(self, arrays, args, seed):
        super().__init__(seed)
        self.random = np.random.Generator(np.random.SFC64(seed))
        self.gain, self.gain_response = args["gain"], args["gainResponse"]
        self.pressure_weight = (arrays["pressureWeight"] / 2**14).tolist()
        self.parameters = [
            {"weights": {slot: pl.Series((arrays["weights"][:, step, slot] / 2**19).astype(np.float32)) for slot in range(arrays["weights"].shape[2])},
             "tables": pl.Series((arrays["tables"][:, step].reshape(-1) / 2**14).astype(np.float32))}
            for step in range(3)
        ]
        self.leave = pl.Series((1 / (1 + np.exp(-arrays["leaveBias"] / 2**14))).astype(np.float32))
        self.counts = np.zeros((args["worlds"], 5), np.int64)
        self.biases, self.offsets = arrays["bias"] / 2**14, arrays["offset"] / 2**14
        self.agents += Recipients(self, arrays, args)

    def live(self):
        for offset in self.offsets:
            self.bias = [pl.Series((self.biases[:, step] + offset[step]).astype(np.float32)) for step in range(3)]
            self.step()
        return self.counts


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
