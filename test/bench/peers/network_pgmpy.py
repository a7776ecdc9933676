"""pgmpy on a discrete network: every marginal by variable elimination, or the arcs that hill climbing finds in rows of states."""
import logging
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

import pandas  # noqa: E402
from pgmpy.estimators import HillClimbSearch  # noqa: E402
from pgmpy.inference import VariableElimination  # noqa: E402
from pgmpy.readwrite import BIFReader  # noqa: E402


class Marginals:
    def __init__(self, args):
        self.model = BIFReader(string=args["bif"]).get_model()
        self.states, self.inference = args["states"], VariableElimination(self.model)

    def run(self):
        found = []
        for name, states in self.states:
            factor = self.inference.query([name], show_progress=False)
            found.append([float(factor.get_value(**{name: state})) for state in states])
        return found


class Arcs:
    def __init__(self, rows, args):
        self.data, self.args = pandas.DataFrame({str(v): pandas.Categorical(rows[:, v]) for v in range(rows.shape[1])}), args

    def run(self):
        found = HillClimbSearch(self.data).estimate(scoring_method=self.args["score"], show_progress=False)
        return [[int(a), int(b)] for a, b in found.edges()]


def prepare(arrays, args):
    return Marginals(args) if args["method"] == "marginals" else Arcs(arrays["rows"], args)
