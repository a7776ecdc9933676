"""scikit-uplift on randomized arms: its Qini of given predictions, and of its own models, on the same splits of the same recipients."""
import warnings

warnings.simplefilter("ignore")

import numpy  # noqa: E402
import pandas  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklift.metrics import qini_auc_score  # noqa: E402
from sklift.models import ClassTransformation, SoloModel, TwoModels  # noqa: E402

BASES = {
    "logistic": lambda: LogisticRegression(max_iter=1000),
    "boosted trees": lambda: HistGradientBoostingClassifier(max_iter=100, max_depth=2, learning_rate=0.05, random_state=1),
}
MODELS = {
    "class transformation": lambda base: ClassTransformation(base()),
    "two models": lambda base: TwoModels(base(), base()),
    "solo model": lambda base: SoloModel(base(), method="treatment_interaction"),
}


class Uplift:
    def __init__(self, features, arm, outcome, fit, predicted):
        self.features, self.arm, self.outcome, self.fit, self.predicted = pandas.DataFrame(features).add_prefix("x"), arm, outcome, fit == 1, predicted

    def of(self, split, arm):
        compared = (self.arm == 0) | (self.arm == arm)
        fit, held = compared & self.fit[split], compared & ~self.fit[split]
        parts = [(self.features[rows].reset_index(drop=True), pandas.Series(self.outcome[rows]), pandas.Series((self.arm[rows] == arm).astype(int))) for rows in (fit, held)]
        (x, y, treated), (x_held, y_held, treated_held) = parts
        qini = {"ours": qini_auc_score(y_held, self.predicted[split, arm - 1][held], treated_held)}
        for base, made in BASES.items():
            for model, of in MODELS.items():
                qini[f"{model}, {base}"] = qini_auc_score(y_held, of(made).fit(x, y, treated).predict(x_held), treated_held)
        return qini

    def run(self):
        return [[self.of(split, arm) for arm in range(1, self.predicted.shape[1] + 1)] for split in range(self.fit.shape[0])]


def prepare(arrays, args):
    return Uplift(arrays["features"], arrays["arm"], arrays["outcome"], arrays["fit"], arrays["predicted"])
