"""The Open Bandit Pipeline on the same logs: its regression model (logistic, C = 100, three folds) and its estimators."""
import importlib.util
import pathlib
import sys
import types

import numpy
import pandas  # noqa: F401  both before torch is stood in for, which they would ask for arrays
import scipy.stats  # noqa: F401
from sklearn.linear_model import LogisticRegression
import sklearn.model_selection  # noqa: F401


class Absent(types.ModuleType):
    """Stands in for torch, which the estimators name in annotations and never use on numpy arrays."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def load():
    sys.modules["torch"] = Absent("torch")
    # The package's own door loads learners of neural networks; the estimators stand in files of their own.
    root = pathlib.Path(importlib.util.find_spec("obp").submodule_search_locations[0])
    package = types.ModuleType("obp.ope")
    package.__path__ = [str(root / "ope")]
    sys.modules["obp.ope"] = package
    from obp.ope import estimators, regression_model
    return estimators, regression_model


class Peer:
    def __init__(self, arrays, args):
        self.estimators, self.regression_model = load()
        self.arrays, self.args = arrays, args

    def run(self):
        a, arms = self.arrays, self.args["arms"]
        rows = len(a["action"])
        action, reward = a["action"].astype(int), a["reward"].astype(int)
        model = self.regression_model.RegressionModel(n_actions=arms, action_context=numpy.eye(arms, dtype=int), base_model=LogisticRegression(max_iter=10000, C=100, random_state=12345))
        expected = model.fit_predict(context=a["context"], action=action, reward=reward, n_folds=3, random_state=12345)
        given = dict(reward=reward, action=action, position=numpy.zeros(rows, int), pscore=a["propensity"], action_dist=a["policy"][:, :, None], estimated_rewards_by_reg_model=expected)
        of = self.estimators
        # Cutoffs as in the authors' example of this version: none.
        named = {"IPW": of.InverseProbabilityWeighting(), "SNIPW": of.SelfNormalizedInverseProbabilityWeighting(), "DM": of.DirectMethod(), "DR": of.DoublyRobust(), "SNDR": of.SelfNormalizedDoublyRobust()}
        return {name: float(estimator.estimate_policy_value(**given)) for name, estimator in named.items()}


def prepare(arrays, args):
    return Peer(arrays, args)
