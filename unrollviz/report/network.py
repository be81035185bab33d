"""The network, its parameters and its graph, counted; what a model file holds."""

from __future__ import annotations

from unrollviz.api import Run
from unrollviz.cells import CELLS
from unrollviz.draw.text import table
from unrollviz.graph import levels_of
from unrollviz.names import clean
from unrollviz.network import Network
from unrollviz.readers.found import Found
from unrollviz.report.figures import Json
from unrollviz.report.values import forward_text


def info_json(run: Run) -> Json:
    """The network and its graph at level `op`."""
    return {
        "cell": run.network.cell,
        "parameters": {name: list(value.shape) for name, value in run.network.params.items()},
        "n_parameters": int(run.network.count_parameters()),
        "nodes": run.graph.number_of_nodes(),
        "edges": run.graph.number_of_edges(),
        "steps": run.steps,
        "loss": run.loss,
        "losses": run.losses.tolist(),
    }


def info_text(run: Run) -> list[str]:
    """The network, its parameters term by term, its graph at each level of detail, its losses."""
    graphs = [
        [detail, f"{run.level(detail).number_of_nodes():,}", f"{run.level(detail).number_of_edges():,}"]
        for detail in levels_of(run.graph)
    ]
    return [
        described(run.network),
        "",
        *parameters_text(run.network),
        "",
        f"unrolled over T = {run.steps} steps, B = {run.instances} instance{'' if run.instances == 1 else 's'}",
        "",
        *table(["level of detail", "nodes", "edges"], graphs, left=(0,)),
        "",
        *forward_text(run),
    ]


def described(network: Network) -> str:
    """The network in a line."""
    layers = f"{network.layers} layers, " if network.layers > 1 else ""
    directions = "both directions, " if network.bidirectional else ""
    activation = f"{network.activation}, " if CELLS[network.cell].activations else ""
    sizes = f"n = {network.inputs} inputs, d = {network.hidden} units, k = {network.outputs} outputs"
    return f"{network.cell} network: {activation}{layers}{directions}{sizes}"


def parameters_text(network: Network, most: int = 60) -> list[str]:
    """dn + d² + kd + d + k, term by term and summed."""
    count = network.count_parameters()
    rows = [[name, formula, "×".join(map(str, shape)), f"{size:,}"] for name, formula, shape, size in count.rows]
    if len(rows) > most:
        rows = [*rows[:most], ["⋮", "", "", f"⋯ {len(rows) - most} more"]]
    return [*table(["", "", "shape", "parameters"], rows, left=(0, 1)), f"{count}"]


def found_json(found: Found) -> Json:
    """What was found in a model file; of the graph and the losses nothing is known without data."""
    network = found.network
    return {
        **network.architecture,
        "inputs": network.inputs,
        "hidden": network.hidden,
        "outputs": network.outputs,
        "parameters": {name: list(value.shape) for name, value in network.params.items()},
        "n_parameters": int(network.count_parameters()),
        "n_stored": found.stored or None,
        "readout": found.readout,
        "used": list(found.used),
        "ignored": list(found.ignored),
    }


def found_text(found: Found) -> list[str]:
    """What was found in a model file."""
    return [described(found.network), "", *found_lines(found), *parameters_text(found.network)]


def found_lines(found: Found) -> list[str]:
    """How the network was recognised: what was used for what, and what was not."""
    others = [name for name in found.choices if name != found.readout]
    lines = [f"read out by {clean(found.readout)}" + (f" (not by {', '.join(map(clean, others))})" if others else "")]
    if found.ignored:
        shown = ", ".join(map(clean, found.ignored[:12]))
        lines.append(f"ignored: {shown}{', …' if len(found.ignored) > 12 else ''}")
    count = int(found.network.count_parameters())
    if found.stored > count:
        lines.append(
            f"PyTorch's bias_ih and bias_hh are added up{' (but of n)' if found.network.cell == 'gru' else ''}: "
            f"{found.stored:,} parameters in the file, {count:,} here"
        )
    return [*lines, ""]
