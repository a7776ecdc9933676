"""Bandits of MABWiser and Vowpal Wabbit in given worlds: batches, binomial responses, regret at the rates. One number a world."""
import numpy as np


class Play:
    def __init__(self, arrays, args):
        self.rates, self.features, self.args = arrays["rates"], arrays["features"], args

    def run(self):
        return [self.world(seed, rates) for seed, rates in enumerate(self.rates)]

    def world(self, seed, rates):
        random = np.random.default_rng(seed)
        personas, arms = rates.shape
        batch, lost = self.args["batch"], 0.0
        policy = self.policy(seed, personas, arms)
        for round_ in range(self.args["rounds"]):
            chosen = [np.arange(batch) % arms if round_ == 0 else policy.choose(p, batch, random) for p in range(personas)]
            for p in range(personas):
                lost += float((rates[p].max() - rates[p][chosen[p]]).sum())
            policy.learn(chosen, [(random.random(batch) < rates[p][chosen[p]]).astype(int) for p in range(personas)])
        return lost


class Mabwiser(Play):
    def policy(self, seed, personas, arms):
        from mabwiser.mab import MAB, LearningPolicy
        of = {"ThompsonSampling": LearningPolicy.ThompsonSampling(), "EpsilonGreedy": LearningPolicy.EpsilonGreedy(epsilon=0.1),
              "LinTS": LearningPolicy.LinTS(alpha=self.args.get("alpha", 1.0)), "LinUCB": LearningPolicy.LinUCB(alpha=self.args.get("alpha", 1.0))}[self.args["policy"]]
        make = lambda at: MAB(arms=list(range(arms)), learning_policy=of, seed=seed * 1000 + at)
        return Contextual(make(0), personas) if self.args["policy"].startswith("Lin") else PerPersona([make(p) for p in range(personas)])


class PerPersona:
    def __init__(self, bandits):
        self.bandits, self.met = bandits, False

    def choose(self, persona, batch, random):
        return np.array([self.bandits[persona].predict() for _ in range(batch)])

    def learn(self, chosen, responses):
        for bandit, arms, hits in zip(self.bandits, chosen, responses):
            (bandit.partial_fit if self.met else bandit.fit)(arms.tolist(), hits.tolist())
        self.met = True


class Contextual:
    """One regression an arm over the persona, as these packages have it."""
    def __init__(self, bandit, personas):
        self.bandit, self.personas, self.met = bandit, personas, False

    def contexts(self, persona, count):
        return np.tile(np.eye(self.personas)[persona], (count, 1))

    def choose(self, persona, batch, random):
        return np.array(self.bandit.predict(self.contexts(persona, batch)))

    def learn(self, chosen, responses):
        contexts = np.vstack([self.contexts(p, len(arms)) for p, arms in enumerate(chosen)])
        (self.bandit.partial_fit if self.met else self.bandit.fit)(np.concatenate(chosen).tolist(), np.concatenate(responses).tolist(), contexts=contexts)
        self.met = True


class Vowpal(Play):
    def policy(self, seed, personas, arms):
        return Workspace(self.args["flags"], self.features, arms)


class Workspace:
    def __init__(self, flags, features, arms):
        import vowpalwabbit
        self.vw = vowpalwabbit.Workspace(f"--cb_explore_adf -q PA -q PF {flags} --quiet")
        self.lines = [f"|A a{arm} |F " + " ".join(f"f{at}:{value}" for at, value in enumerate(row) if value != 0) for arm, row in enumerate(features)]
        self.arms, self.pmf = arms, {}

    def choose(self, persona, batch, random):
        # The chances stay as they are until the batch has been learned.
        pmf = np.array(self.vw.predict([f"shared |P p{persona}"] + self.lines))
        self.pmf[persona] = pmf = pmf / pmf.sum()
        return random.choice(self.arms, size=batch, p=pmf)

    def learn(self, chosen, responses):
        for persona, (arms, hits) in enumerate(zip(chosen, responses)):
            pmf = self.pmf.get(persona, np.full(self.arms, 1 / self.arms))
            for arm, hit in zip(arms, hits):
                self.vw.learn([f"shared |P p{persona}"] + [f"0:{-hit}:{pmf[arm]} {line}" if at == arm else line for at, line in enumerate(self.lines)])


def prepare(arrays, args):
    return (Vowpal if args["of"] == "vowpalwabbit" else Mabwiser)(arrays, args)
