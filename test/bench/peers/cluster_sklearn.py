"""k-means from given centers and DBSCAN of scikit-learn, on the points as they are (f64)."""
from sklearn.cluster import DBSCAN, KMeans


class Means:
    def __init__(self, arrays, args):
        self.points, self.start, self.iterations = arrays["points"], arrays["start"], args["iterations"]

    def run(self):
        found = KMeans(len(self.start), init=self.start, n_init=1, max_iter=self.iterations, tol=0, algorithm="lloyd").fit(self.points)
        return {"inertia": float(found.inertia_), "rounds": int(found.n_iter_)}


class Density:
    def __init__(self, arrays, args):
        self.points, self.args = arrays["points"], args

    def run(self):
        labels = DBSCAN(eps=self.args["eps"], min_samples=self.args["minPoints"], n_jobs=1).fit(self.points).labels_
        return [int(labels.max()) + 1, int((labels < 0).sum())]


def prepare(arrays, args):
    return (Means if args["method"] == "kmeans" else Density)(arrays, args)
