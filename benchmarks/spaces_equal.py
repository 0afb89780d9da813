"""The spaces against what was published of them: every equality count by one command, as one JSON object.

    python benchmarks/spaces_equal.py [--every 1]

NAS-Bench-101: the listed cells against the published hashes, parameters of the 20,001 rows of the sample.
NAS-Bench-201: parameters and FLOPs of all 15,625 rows, classes of twins. DARTS: parameters of the published cells on
CIFAR-10 in millions and whether they lie within 0.1 of the published ones, multiply-adds of the mobile networks on
ImageNet in millions, which the setting limits to 600. NAS-Bench-NLP: how many recipes of the table parse, print back
up to the names and order of nodes and have graphs of at most 26 nodes, and how many parameters agree. Recurrent cells:
how many there are and their classes of twins by formula, and by listing all cells of 6 nodes.

`--every k` looks at every k-th cell, row and recipe of NAS-Bench-101 and NAS-Bench-NLP only, and at the first
15,625 / k rows of NAS-Bench-201.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import nb101_costs
import nb201_costs
import record

from nas_core.cost import cost
from nas_core.network import Task
from nas_spaces.darts import DARTS
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.nasbench_nlp import NASBenchNLP
from nas_spaces.recurrent import Recurrent
from nas_spaces.tables.nasbench101 import nb101

CIFAR10 = Task("classification", (3, 32, 32), 10)
IMAGENET = Task("classification", (3, 224, 224), 1000)
PUBLISHED_MILLIONS = {"darts_v2": 3.3, "pdarts": 3.4, "pcdarts": 3.6}
"""Parameters on CIFAR-10 as Liu et al. 2019, Chen et al. 2019 and Xu et al. 2020 give them."""
MOBILE_LIMIT = 600e6
MOST_NODES = 26
WORDS = 33_278
"""The vocabulary of WikiText-2."""
WIDTHS = (400, 600, 600, 400)
"""Of NAS-Bench-NLP's embedding and three layers; the embedding is tied to the output, which has a bias."""
PARTS = ("cells", "cells_published", "cells_of_7_vertices", "cells_of_6_vertices", "hashes", "hashes_equal_as_sets")

Recipe = Mapping[str, Mapping[str, Any]]


def nasbench101(every: int) -> dict[str, Any]:
    """The whole space and the published sample."""
    listed = nb101_costs.space_figures(every)
    table = nb101(record.tables_dir())
    costs, _ = nb101_costs.parameter_figures(table, every)
    # the rule of its twins is isomorphism, of which the published hash is the other name
    return {
        **{part: listed[part] for part in PARTS},
        "hashes_among_published": listed["hashes_among_published"],
        "rows": costs["rows"],
        "params_agree": costs["params_agree"],
        "twin_rules": NASBench101().twin_rules,
        "twin_classes": listed["hashes"],
    }


def nasbench201(every: int) -> dict[str, Any]:
    """All rows of the table, and the classes of all cells."""
    costs, _ = nb201_costs.costs(NASBench201.size // every)
    same, _ = nb201_costs.sameness()
    return {
        **{part: costs[part] for part in ("rows", "params_agree", "flops_agree")},
        **{part: same[part] for part in ("twin_rules", "twin_classes", "graph_classes")},
    }


def darts() -> dict[str, Any]:
    """Sizes of the published cells."""
    space, found = DARTS(), {}
    for name, member in space.named.items():
        small = cost(space.network(member, CIFAR10)).parameters / 1e6
        mobile = cost(space.network(member, IMAGENET, channels=48, cells=14))
        found[name] = {
            "params_millions": round(small, 3),
            "mobile_params_millions": round(mobile.parameters / 1e6, 3),
            "mobile_multiply_adds_millions": round(mobile.multiply_adds / 1e6, 1),
            "mobile_within_limit": mobile.multiply_adds < MOBILE_LIMIT,
        }
        if name in PUBLISHED_MILLIONS:
            published = PUBLISHED_MILLIONS[name]
            found[name] |= {
                "published_params_millions": published,
                "params_within_0.1": abs(small - published) < 0.1,
            }
    return found


def meaning(recipe: Recipe) -> tuple[Counter[str], dict[str, str]]:
    """A recipe without the names of its nodes: what every live node computes, and which of them are new states."""
    told: dict[str, str] = {}

    def tell(name: str) -> str:
        if name not in recipe:
            return name
        if name not in told:
            node = recipe[name]
            inputs = [tell(source) for source in node["input"]]
            ordered = inputs if node["op"] == "blend" else sorted(inputs)
            told[name] = f"{node['op']}({','.join(ordered)})"
        return told[name]

    states = {name: tell(name) for name in recipe if name.removeprefix("h_new_").isdecimal()}
    return Counter(told.values()), states


def nasbench_nlp(every: int) -> dict[str, Any]:
    """The recipes of the table."""
    space, counts, largest = NASBenchNLP(), Counter[str](), 0
    with gzip.open(record.tables_dir() / "nasbench_nlp_wikitext2.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)[::every]
    keys = set()
    for row in rows:
        recipe: Recipe = row["recepie"]
        member = space.parse(json.dumps(recipe))
        printed = space.text(member)
        graph = space.graphs(member)["cell"]
        largest = max(largest, len(graph.labels))
        keys.add(space.graph_key(member))
        counts["printed_back"] += meaning(json.loads(printed)) == meaning(recipe) and space.parse(printed) == member
        counts["graphs_within_26_nodes"] += len(graph.labels) <= MOST_NODES
        counts["graphs_back"] += space.graph_key(space.from_graphs({"cell": graph})) == space.graph_key(member)
        layers = [cost(space.network(member, Task("language", (a,), WORDS), hidden=b)) for a, b in pairwise(WIDTHS)]
        own = sum(layer.parameters for layer in layers) + WORDS * (WIDTHS[0] + 1)
        counts["params_agree"] += own == row["num_params"]
    return {
        "recipes": len(rows),
        "parsed": len(rows),  # a text that does not parse raises
        **counts,
        "most_graph_nodes": largest,
        "graph_classes": len(keys),
    }


def recurrent() -> dict[str, Any]:
    """Cells of ENAS and NAO (12 nodes) and of BONAS (2 to 8), and a listing of small ones."""
    small, found = Recurrent(6), {}
    for name, space in (("enas_nao", Recurrent()), ("bonas", Recurrent(8, variable=True)), ("of_6_nodes", small)):
        found[name] = {"cells": space.size, "twin_rules": space.twin_rules, "twin_classes": space.classes}
    listed = list(small.enumerate())
    found["of_6_nodes"] |= {
        "cells_listed": len(set(listed)),
        "twin_classes_listed": len({small.twin_key(a) for a in listed}),
    }
    return found


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="look at every k-th only")
    every = parser.parse_args().every
    figures = {
        "nasbench101": nasbench101(every),
        "nasbench201": nasbench201(every),
        "darts": darts(),
        "nasbench_nlp": nasbench_nlp(every),
        "recurrent": recurrent(),
    }
    record.keep("spaces_equal", figures, None)


if __name__ == "__main__":
    main()
