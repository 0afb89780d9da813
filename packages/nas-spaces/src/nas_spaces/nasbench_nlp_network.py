"""One time step of a NAS-Bench-NLP recipe as a network.

The input is the step's vector, the old states are as wide as the new ones, and the output "hidden" is h_new_0, as in
the benchmark's code. `linear` is a matrix for each source and one bias, on the first; `blend` is gate·a + (1 - gate)·b.
With an embedding of 400 numbers, three layers of 600, 600 and 400 and the embedding tied to the output, the parameters
equal `num_params` of all rows of the published table.
"""

from __future__ import annotations

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import Activation, Add, Complement, Linear, Multiply, StateIn, StateOut
from nas_spaces.nasbench_nlp_recipes import INPUTS, Recipe

_ACTIVATIONS = {
    "activation_tanh": Activation("tanh"),
    "activation_sigm": Activation("sigmoid"),
    "activation_leaky_relu": Activation("leaky_relu"),
}
_ADD, _MULTIPLY, _COMPLEMENT = Add(), Multiply(), Complement()


def build(recipe: Recipe, task: Task, hidden: int | None) -> Network:
    """One time step of a recipe.

    Args:
        recipe: a legal one.
        task: language.
        hidden: width of the states; None for that of the input.

    Raises:
        InvalidNetwork: the task is another, or the width is no positive whole number.
    """
    width = checked_width(task, hidden)
    b = NetworkBuilder(task)
    values = {0: b.input()}
    names = list(INPUTS)
    for state in range(recipe.states):
        name = INPUTS[1 + state]
        values[1 + state] = b.add(name, StateIn(f"h_{state}", (width,)))
    for i, (operation, sources) in enumerate(recipe.nodes):
        names.append(f"node_{i}")
        with b.scope(names[-1]), b.scope("linear" if operation == "linear3" else operation):
            inputs = [values[source] for source in sources]
            values[len(INPUTS) + i] = _node(b, operation, inputs, [names[source] for source in sources], width)
    for state, i in enumerate(recipe.hidden):
        b.add(f"h_new_{state}", StateOut(f"h_{state}"), values[len(INPUTS) + i])
    return b.network(hidden=values[len(INPUTS) + recipe.hidden[0]])


def checked_width(task: Task, hidden: int | None) -> int:
    """The width of the states.

    Raises:
        InvalidNetwork: the task is not language, or the width is no positive whole number.
    """
    if task.kind != "language":
        raise InvalidNetwork("a recurrent cell is for language", value=task.kind, expected='a task of kind "language"')
    width = task.input_shape[0] if hidden is None else hidden
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InvalidNetwork("hidden cannot be set", value=hidden, expected="a whole number of at least 1")
    return width


def _node(b: NetworkBuilder, operation: str, inputs: list[int], names: list[str], width: int) -> int:
    if operation in _ACTIVATIONS:
        return b.add("value", _ACTIVATIONS[operation], inputs[0])
    if operation == "elementwise_sum":
        return b.add("value", _ADD, *inputs)
    if operation == "elementwise_prod":
        return b.add("value", _MULTIPLY, *inputs)
    if operation == "blend":
        kept = b.add("kept", _MULTIPLY, inputs[0], inputs[1])
        rest = b.add("rest", _MULTIPLY, b.add("complement", _COMPLEMENT, inputs[0]), inputs[2])
        return b.add("value", _ADD, kept, rest)
    products: list[int] = []
    for name, x in zip(names, inputs, strict=True):
        products.append(b.add(name, Linear(width, bias=not products), x))
    return b.add("value", _ADD, *products)
