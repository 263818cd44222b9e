"""forest.AMFRegressor of 0.26.1.

Features are scaled to [0, 1] as its documentation asks for. It ends with the shape of its
trees: nodes, depth, events in the left half, and the splits of every feature.
"""

from river import forest, preprocessing


def shape(tree, features):
    splits = dict.fromkeys(features, 0)
    deepest, nodes = 0, 0
    todo = [(tree._root, 0)]
    while todo:
        node, depth = todo.pop()
        nodes += 1
        deepest = max(deepest, depth)
        if not node.is_leaf:
            splits[node.feature] += 1
            todo += [(child, depth + 1) for child in node.children]
    assert nodes == tree._n_nodes
    left = tree._root.children[0].n_samples
    return " ".join(str(v) for v in (nodes, deepest, left, *splits.values()))


def amf(**parameters):
    def case(stream):
        scaler = preprocessing.MinMaxScaler()
        model = forest.AMFRegressor(**parameters)
        events = list(stream)
        features = max((x for x, _ in events), key=len)  # of an event that lacks none
        for x, y in events:
            yield model.predict_one(scaler.transform_one(x)) or 0.0
            scaler.learn_one(x)
            model.learn_one(scaler.transform_one(x), y)
        yield [shape(tree, features) for tree in model]

    return case


CASES = {
    "amf": amf(n_estimators=5, seed=1),
    "amf-leaf": amf(n_estimators=2, use_aggregation=False, seed=2),
    "amf-bounded": amf(n_estimators=3, step=0.01, max_nodes=500, seed=3),
}
